import ArgumentParser
import BProc
import CommandSupport
import Glibc
import System

struct RunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Run a command, or a shell, that finds the cluster.",
        discussion: """
            With --local a cluster of its own is started before and stopped after. bpsh and bpstat \
            are in its PATH. The exit status is the command's.
            """)

    @Option(help: "Start this many slaves first.")
    var local: Int?
    @OptionGroup var place: DirectoryOption
    @OptionGroup var options: ClusterOptions
    @Argument(parsing: .captureForPassthrough, help: "The command. Default: a shell.")
    var command: [String] = []

    func run() throws {
        try ClusterCommand.reporting { () throws(CommandError) -> Int32 in
            // Its own cluster has a directory of its own, unless one was named.
            let directory =
                local != nil && place.path == nil
                ? ClusterDirectory(path: "/tmp/bpcluster-\(getuid())-\(getpid())") : place.directory
            let cluster = LocalCluster(directory: directory)
            let arguments = command.first == "--" ? Array(command.dropFirst()) : command
            let shell = ProcessEnvironment.value(of: "SHELL") ?? "/bin/sh"
            let program = try PathSearch.find(arguments.first ?? shell, path: path)
            let signals = try Interrupts.taken()
            if let local {
                try cluster.start(try options.plan(nodeCount: local), signals: signals)
            } else if !directory.exists {
                throw CommandError(
                    "\(directory.path): no cluster is recorded here; start one with --local N")
            }
            defer { if local != nil { _ = try? cluster.stop() } }
            return try attend(
                program, arguments.isEmpty ? [shell] : arguments, directory.socket, signals)
        }
    }

    /// The commands of this package first: what is run, and what it runs, finds them.
    private var path: String {
        let inherited = ProcessEnvironment.value(of: "PATH") ?? "/usr/bin:/bin"
        return "\(OwnExecutable.directory):\(inherited)"
    }

    /// Runs the command to its end. What the terminal sends reaches it directly; what is sent to
    /// this process alone is passed on.
    private func attend(
        _ program: String, _ arguments: [String], _ socket: String,
        _ signals: borrowing SignalDescriptor
    ) throws(CommandError) -> Int32 {
        let environment = ProcessEnvironment.setting(
            [("BPROC_SOCKET", socket), ("PATH", path)],
            in: ProcessEnvironment.entries())
        do throws(SystemCallError) {
            let pid = try LocalProgram.start(
                program, arguments: arguments, environment: environment)
            guard let child = ProcessIdentity(pid: pid)?.open() else {
                return WaitStatus(rawValue: LocalProgram.reap(pid, waits: true)?.status ?? 0)
                    .shellStatus
            }
            while true {
                if let (_, status) = LocalProgram.reap(pid, waits: false) {
                    return WaitStatus(rawValue: status).shellStatus
                }
                var entries = [
                    Poll.Entry(signals.number, Poll.readable),
                    Poll.Entry(child.number, Poll.readable),
                ]
                try Poll.wait(&entries)
                while let signal = try signals.next() {
                    if signal == SIGTERM || signal == SIGHUP { _ = kill(pid, signal) }
                }
            }
        } catch {
            throw CommandError("\(error)")
        }
    }
}
