import ArgumentParser
import CommandSupport
import Glibc
import System

struct UpCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "up",
        abstract: "Start a master and slaves on this machine; return when all nodes are up.")

    @Option(help: "How many slaves.")
    var local: Int
    @OptionGroup var place: DirectoryOption
    @OptionGroup var options: ClusterOptions

    func run() throws {
        try ClusterCommand.reporting { () throws(CommandError) -> Int32 in
            let plan = try options.plan(nodeCount: local)
            let begin = Stopwatch.nanoseconds()
            let directory = place.directory
            try LocalCluster(directory: directory).start(plan, signals: try Interrupts.taken())
            let time = Stopwatch.seconds(Stopwatch.nanoseconds() - begin, digits: 1)
            StandardOutput.write(
                """
                \(local) nodes are up after \(time) s. To use them:
                  export BPROC_SOCKET=\(directory.socket)

                """)
            return ExitStatus.success
        }
    }
}

struct DownCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "down", abstract: "Stop a cluster and remove its files.")

    @OptionGroup var place: DirectoryOption

    func run() throws {
        try ClusterCommand.reporting { () throws(CommandError) -> Int32 in
            let (running, killed) = try LocalCluster(directory: place.directory).stop()
            let forced = killed == 0 ? "" : ", \(killed) of them by SIGKILL"
            StandardOutput.write("\(running) daemons stopped\(forced)\n")
            return ExitStatus.success
        }
    }
}

/// The signals that end a command, as a descriptor.
enum Interrupts {
    static func taken() throws(CommandError) -> SignalDescriptor {
        do throws(SystemCallError) {
            return try SignalDescriptor([SIGINT, SIGTERM, SIGHUP, SIGQUIT])
        } catch {
            throw CommandError("\(error)")
        }
    }
}
