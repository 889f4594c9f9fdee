import ArgumentParser
import CSystem
import DaemonSupport
import Host
import DaemonLog
import Logging
import Master
import MasterCore
import System

@main
struct MasterCommand: DaemonCommand {
    static let defaultConfigurationPath = "/etc/bproc/bpmaster.json5"

    static let configuration = CommandConfiguration(
        commandName: "bpmaster",
        abstract:
            "The front end of a bproc cluster: takes slaves in, and launches programs on them.",
        discussion: """
            Slaves connect to the --listen address; programs of this machine to the --socket path. \
            SIGTERM ends the master, and with it every process it has started on nodes. SIGHUP \
            makes it read its configuration file again.
            """,
        version: "bpmaster (bproc) 0.1.0")

    @OptionGroup var daemon: DaemonOptions

    @Option(
        help: ArgumentHelp(
            "Address and port for slaves; port 0 takes a free one.", valueName: "addr"))
    var listen = "127.0.0.1:2223"

    @Option(help: ArgumentHelp("Path of the local socket.", valueName: "path"))
    var socket = "/run/bproc/socket"

    @Option(
        help: ArgumentHelp(
            """
            Serve metrics for Prometheus by HTTP at this address and port, as /metrics; port 0 \
            takes a free one, which the log names.
            """, valueName: "addr"))
    var metrics: String?

    @OptionGroup var nodeOptions: NodeOptions

    @OptionGroup var hookOptions: HookOptions

    @Option(help: ArgumentHelp("A slave silent for this long is down.", valueName: "seconds"))
    var pingTimeout = 30

    @Option(
        help: ArgumentHelp(
            """
            A slave whose connection is cut has this long to come again: its processes live, and \
            it is shown as away. 0: it is down at once.
            """, valueName: "seconds"))
    var grace = 0

    @Option(
        help: ArgumentHelp(
            "A node without a sign of life for this long in a launch is given up.",
            valueName: "milliseconds"))
    var stallTimeout: UInt32 = 4000

    static func main() {
        // Another role of the same binary: no parser, no daemon.
        if let code = HelperRole.run(ProgramArguments.all) { bp_exit(code) }
        mainWithConfiguration()
    }

    func validate() throws {
        guard (2...86400).contains(pingTimeout) else {
            throw ValidationError("--ping-timeout must be 2 to 86400 seconds")
        }
        guard (0...86400).contains(grace) else {
            throw ValidationError("--grace must be 0 to 86400 seconds")
        }
        guard (100...3_600_000).contains(stallTimeout) else {
            throw ValidationError("--stall-timeout must be 100 to 3600000 milliseconds")
        }
        _ = try masterConfiguration()
    }

    func masterConfiguration() throws -> MasterConfiguration {
        guard
            let address = SocketAddress(listen, defaultPort: MasterConfiguration.defaultPort)
        else { throw ValidationError("--listen '\(listen)' is not an address") }
        try daemon.requireReachOfLoopback(address, "--listen")
        var configuration = MasterConfiguration(
            listenAddress: address, socketPath: socket, nodes: try nodeOptions.numbers())
        if let metrics {
            guard let address = SocketAddress(metrics, defaultPort: 0) else {
                throw ValidationError("--metrics '\(metrics)' is not an address")
            }
            try daemon.requireReachOfLoopback(address, "--metrics")
            configuration.metricsAddress = address
        }
        configuration.addresses = try nodeOptions.addressTable()
        configuration.groups = try nodeOptions.groups()
        configuration.newcomers = try nodeOptions.newcomers()
        hookOptions.apply(to: &configuration)
        configuration.pingTimeoutSeconds = pingTimeout
        configuration.graceSeconds = grace
        configuration.stallMilliseconds = stallTimeout
        configuration.logLevels = try daemon.logLevels()
        configuration.socketBufferByteCount = daemon.socketBuffer
        configuration.forbidsRing = daemon.forbidsRing
        configuration.warnsOfInsecurity = !address.isLoopback
        return configuration
    }

    func run() throws {
        let configuration = try masterConfiguration()
        let log = try daemon.log("bpmaster")
        let launcher = try Launcher(daemon)
        daemon.takePrecedence(log)
        do throws(SystemCallError) {
            var master = try MasterDaemon(configuration, log: log) {
                () throws(ReloadError) in try Self.reload()
            }
            try launcher.isReady()
            let code = master.run()
            launcher.isEnding()
            bp_exit(code)
        } catch {
            log.daemon.critical("\(error)")
            launcher.hasFailed(71)
            bp_exit(71)
        }
    }

    private static func reload() throws(ReloadError) -> MasterConfiguration {
        do {
            return try readAgain().masterConfiguration()
        } catch {
            throw ReloadError(sentence: message(for: error))
        }
    }
}
