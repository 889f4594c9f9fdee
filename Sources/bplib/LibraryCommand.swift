import ArgumentParser
import BProc
import CommandSupport

/// Shows and changes the list of libraries.
struct LibraryCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bplib", abstract: "Show or change the list of libraries.",
        usage: "bplib -l | -c | -a library ... | -d library ...",
        discussion: """
            bpmaster keeps the list for programs that look at it. Images carry all of their \
            memory, so no node needs a library, on the list or not. What fails for one name is \
            reported, and the others are done; the exit status is then 1. Examples:
              bplib -a /lib/x86_64-linux-gnu/libc.so.6
              ldd prog | awk '/=> \\// { print $3 }' | bplib -a -
            """,
        version: "bplib (bproc) 0.1")

    enum Action: EnumerableFlag {
        case list, clear, add, delete

        static func name(for value: Action) -> NameSpecification { .shortAndLong }

        static func help(for value: Action) -> ArgumentHelp? {
            switch value {
            case .list: "Print the list, one name a line."
            case .clear: "Empty the list."
            case .add: "Add libraries; - reads their names from standard input, one a line."
            case .delete: "Take libraries off the list; - as with -a."
            }
        }
    }

    @Flag(exclusivity: .exclusive) var action: Action
    @Argument(help: ArgumentHelp("Names, as programs give them: usually paths."))
    var libraries: [String] = []

    func validate() throws {
        let takesNames = action == .add || action == .delete
        guard takesNames != libraries.isEmpty else {
            throw ValidationError(
                takesNames ? "which libraries?" : "\(libraries[0]): no library is expected here")
        }
    }

    func run() throws {
        let cluster = Cluster()
        do throws(BProcError) {
            switch action {
            case .list:
                StandardOutput.write(try cluster.libraries().map { $0 + "\n" }.joined())
                return
            case .clear:
                try cluster.clearLibraries()
                return
            case .add, .delete: break
            }
        } catch {
            StandardOutput.report(error.description, command: "bplib")
            throw ArgumentParser.ExitCode(ExitStatus.failure)
        }
        guard changeAll(of: cluster) else { throw ArgumentParser.ExitCode(ExitStatus.failure) }
    }

    /// - Returns: whether every name was taken.
    private func changeAll(of cluster: Cluster) -> Bool {
        var allDone = true
        for name in libraries.flatMap({ $0 == "-" ? Self.namesFromInput() : [$0] }) {
            do throws(BProcError) {
                if action == .add {
                    try cluster.addLibrary(name)
                } else {
                    try cluster.removeLibrary(name)
                }
            } catch {
                StandardOutput.report("\(name): \(error)", command: "bplib")
                allDone = false
            }
        }
        return allDone
    }

    /// Blank lines are no names.
    private static func namesFromInput() -> [String] {
        var names: [String] = []
        while let line = readLine() {
            if !line.isEmpty { names.append(line) }
        }
        return names
    }
}
