import ArgumentParser
import CSystem
import DaemonSupport
import Host
import Logging
import Master
import MasterCore
import System

@main
struct MasterCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bpmaster",
        abstract:
            "The front end of a bproc cluster: takes slaves in, and launches programs on them.",
        discussion: """
            Slaves connect to the --listen address; programs of this machine to the --socket path. \
            SIGTERM ends the master, and with it every process it has started on nodes.
            """,
        version: "bpmaster (bproc) 0.1.0")

    @OptionGroup var daemon: DaemonOptions

    @Option(
        help: ArgumentHelp(
            "Address and port for slaves; port 0 takes a free one.", valueName: "addr"))
    var listen = "127.0.0.1:2223"

    @Option(help: ArgumentHelp("Path of the local socket.", valueName: "path"))
    var socket = "/run/bproc/socket"

    @Option(help: ArgumentHelp("Number of nodes: they are 0 to n-1.", valueName: "n"))
    var nodes = 1024

    @Option(help: ArgumentHelp("A slave silent for this long is down.", valueName: "seconds"))
    var pingTimeout = 30

    @Option(
        help: ArgumentHelp(
            "A node without a sign of life for this long in a launch is given up.",
            valueName: "milliseconds"))
    var stallTimeout: UInt32 = 4000

    @Option(
        help: ArgumentHelp(
            "Who may use a node that connects: execute bits, as of chmod.", valueName: "octal"))
    var nodeMode = "111"

    @Option(
        help: ArgumentHelp(
            "Owner of a node that connects, and its group, as numbers.",
            valueName: "user[:group]"))
    var nodeOwner = "0:0"

    static func main() {
        // Another role of the same binary: no parser, no daemon.
        if let code = HelperRole.run(ProgramArguments.all) { bp_exit(code) }
        main(withConfigurationAt: "/etc/bproc/bpmaster.json5")
    }

    func validate() throws {
        guard (1...65536).contains(nodes) else {
            throw ValidationError("--nodes must be 1 to 65536")
        }
        guard (2...86400).contains(pingTimeout) else {
            throw ValidationError("--ping-timeout must be 2 to 86400 seconds")
        }
        guard (100...3_600_000).contains(stallTimeout) else {
            throw ValidationError("--stall-timeout must be 100 to 3600000 milliseconds")
        }
        _ = try newcomers()
    }

    private func newcomers() throws -> NodePermission {
        guard let mode = UInt32(nodeMode, radix: 8), mode & ~0o111 == 0 else {
            throw ValidationError("--node-mode '\(nodeMode)' is no octal number of the bits 111")
        }
        let parts = nodeOwner.split(separator: ":", omittingEmptySubsequences: false)
        let numbers = parts.compactMap { UInt32($0) }
        guard (1...2).contains(parts.count), numbers.count == parts.count else {
            throw ValidationError("--node-owner '\(nodeOwner)' is not user or user:group")
        }
        return NodePermission(
            mode: mode, user: numbers[0], group: numbers.count > 1 ? numbers[1] : 0)
    }

    func run() throws {
        guard
            let address = SocketAddress(listen, defaultPort: MasterConfiguration.defaultPort)
        else { throw ValidationError("--listen '\(listen)' is not an address") }
        try daemon.requireReachOfLoopback(address, "--listen")
        var configuration = MasterConfiguration(
            listenAddress: address, socketPath: socket, nodeCount: nodes)
        configuration.pingTimeoutSeconds = pingTimeout
        configuration.stallMilliseconds = stallTimeout
        configuration.socketBufferByteCount = daemon.socketBuffer
        configuration.forbidsRing = daemon.forbidsRing
        configuration.newcomers = try newcomers()
        configuration.warnsOfInsecurity = !address.isLoopback
        let logger = daemon.logger("bpmaster")
        let launcher = try Launcher(daemon)
        daemon.takePrecedence(logger)
        do throws(SystemCallError) {
            var master = try MasterDaemon(configuration, logger: logger)
            try launcher.isReady()
            let code = master.run()
            launcher.isEnding()
            bp_exit(code)
        } catch {
            logger.critical("\(error)")
            launcher.hasFailed(71)
            bp_exit(71)
        }
    }
}
