import ArgumentParser
import CommandSupport
import Glibc

/// Clusters on this machine: a master and many slaves, each a process of its own.
struct ClusterCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bpcluster",
        abstract: "Start, use and stop a cluster of daemons on this machine.",
        version: "bpcluster (bproc) 0.1",
        subcommands: [
            UpCommand.self, DownCommand.self, StatusCommand.self, RunCommand.self, DemoCommand.self,
            BenchCommand.self,
        ])

    /// Prints the error as a line of this command and ends with its status.
    static func reporting(_ body: () throws(CommandError) -> Int32) throws {
        let status: Int32
        do throws(CommandError) {
            status = try body()
        } catch {
            StandardOutput.report(error.sentence, command: "bpcluster")
            throw ArgumentParser.ExitCode(error.exitStatus)
        }
        if status != 0 { throw ArgumentParser.ExitCode(status) }
    }
}

/// Where a cluster lives; the same option in every command.
struct DirectoryOption: ParsableArguments {
    @Option(name: .customLong("dir"), help: "The cluster's directory: socket, records, logs.")
    var path: String?

    var directory: ClusterDirectory { ClusterDirectory(path: path ?? Self.defaultPath) }

    static var defaultPath: String {
        if let own = ProcessEnvironment.value(of: "XDG_RUNTIME_DIR"), own.hasPrefix("/") {
            return "\(own)/bpcluster"
        }
        return "/tmp/bpcluster-\(getuid())"
    }
}

/// How the daemons of a cluster are started.
struct ClusterOptions: ParsableArguments {
    @Option(help: "The bpmaster to start. Default: beside bpcluster, or in PATH.")
    var masterBinary: String?
    @Option(help: "The bpslave to start. Default: beside bpcluster, or in PATH.")
    var slaveBinary: String?
    @Option(help: "Bytes of image memory that each slave keeps warm.")
    var arena: UInt64 = 8 << 20
    @Option(
        help: ArgumentHelp(
            "What the daemons log: info, or info,relay=debug.", valueName: "levels"))
    var logLevel: String?
    @Option(help: "Further arguments for bpmaster, separated by blanks.")
    var masterArguments: String?
    @Option(help: "Further arguments for every bpslave, separated by blanks.")
    var slaveArguments: String?
    @Option(help: "Seconds until all nodes must be up.")
    var timeout: Int = 120

    func plan(nodeCount: Int) throws(CommandError) -> ClusterPlan {
        guard (1...LocalAddress.nodeCountLimit).contains(nodeCount) else {
            throw CommandError(
                "\(nodeCount) nodes; 1 to \(LocalAddress.nodeCountLimit) can be started")
        }
        var plan = ClusterPlan(
            nodeCount: nodeCount, master: try Self.program("bpmaster", masterBinary),
            slave: try Self.program("bpslave", slaveBinary))
        plan.arenaByteCount = arena
        plan.timeoutNanoseconds = UInt64(max(1, timeout)) * 1_000_000_000
        let level = logLevel.map { ["--log-level", $0] } ?? []
        func words(_ text: String?) -> [String] {
            (text ?? "").split(separator: " ").map(String.init)
        }
        plan.masterArguments = level + words(masterArguments)
        plan.slaveArguments = level + words(slaveArguments)
        return plan
    }

    private static func program(_ name: String, _ given: String?) throws(CommandError) -> String {
        if let given { return try PathSearch.find(given) }
        let beside = "\(OwnExecutable.directory)/\(name)"
        if let found = try? PathSearch.find(beside) { return found }
        return try PathSearch.find(name)
    }
}
