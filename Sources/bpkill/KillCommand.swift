import ArgumentParser
import BProc
import CommandSupport

/// Sends signals to processes on nodes.
struct KillCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bpkill", abstract: "Send a signal to processes on any node.",
        usage: "bpkill [-s SIGNAL | -SIGNAL] [--job] pid ...",
        discussion: """
            A process is named by its number on the front end, as bpps and bpstat -p show it. \
            Examples:
              bpkill 4711            ends a process (SIGTERM)
              bpkill -KILL --job 4711
              bpkill -0 4711         whether it is there, and may be signalled
            """,
        version: "bpkill (bproc) 0.1")

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp("The signal, by name or number (default: TERM).", valueName: "signal"))
    var signal = "TERM"
    @Flag(help: "Signal to every process of the same launch, and to what they have started.")
    var job = false
    @Flag(name: .shortAndLong, help: "List the names of the signals.")
    var list = false
    @Argument(help: ArgumentHelp("Process numbers.", valueName: "pid"))
    var processes: [String] = []

    /// The line with `-TERM` and `-9` as what they stand for: the parser would read letters.
    static func words(_ words: ArraySlice<String>) -> [String] {
        var result: [String] = []
        var isOver = false
        for word in words {
            isOver = isOver || word == "--"
            if !isOver, word.hasPrefix("-"), word.count > 1, result.last.map(takesValue) != true,
                SignalName.number(String(word.dropFirst())) != nil
            {
                result += ["--signal", String(word.dropFirst())]
            } else {
                result.append(word)
            }
        }
        return result
    }

    private static func takesValue(_ word: String) -> Bool { word == "-s" || word == "--signal" }

    private func numbers() throws -> [Int32] {
        try processes.map { text in
            guard let number = Int32(text), number > 0 else {
                throw ValidationError("'\(text)' is no process number.")
            }
            return number
        }
    }

    func validate() throws {
        guard !list else { return }
        guard SignalName.number(signal) != nil else {
            throw ValidationError("There is no signal '\(signal)'; bpkill -l lists them.")
        }
        guard try !numbers().isEmpty else { throw ValidationError("No process is named.") }
    }

    func run() throws {
        guard !list else {
            StandardOutput.write(SignalName.list)
            return
        }
        let signal = SignalName.number(signal) ?? 15
        var hasFailed = false
        for number in try numbers() {
            do throws(BProcError) {
                try Cluster().send(signal: signal, toProcess: number, wholeJob: job)
            } catch {
                StandardOutput.report("\(number): \(error.sentence)", command: "bpkill")
                hasFailed = true
            }
        }
        guard !hasFailed else { throw ArgumentParser.ExitCode.failure }
    }
}
