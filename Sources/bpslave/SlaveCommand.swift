import ArgumentParser
import CSystem
import DaemonSupport
import Host
import DaemonLog
import Logging
import Slave
import System

@main
struct SlaveCommand: DaemonCommand {
    static let defaultConfigurationPath = "/etc/bproc/bpslave.json5"
    static let necessaryArguments = ["127.0.0.1"]

    static let configuration = CommandConfiguration(
        commandName: "bpslave",
        abstract: "A node of a bproc cluster: receives process images, relays them, runs them.",
        discussion: """
            The node needs this one file and nothing else. Several slaves may run on one machine, \
            each with its own --listen address. SIGTERM ends the slave and everything it has \
            started.
            """,
        version: "bpslave (bproc) 0.1.0")

    @OptionGroup var daemon: DaemonOptions

    @Option(
        help: ArgumentHelp("Node number to claim; without it the master chooses.", valueName: "n"))
    var node: Int32?

    @Flag(
        help: """
            Be the slave of the front end, beside the master: processes that move home run here. \
            It is no node, and needs no number.
            """)
    var frontEnd = false

    @Option(
        help: ArgumentHelp(
            "Address for the relay links of other nodes; port 0 takes a free one.",
            valueName: "addr"))
    var listen = "127.0.0.1:0"

    @Option(
        help: ArgumentHelp(
            "Warm image memory: an image up to this size needs no page allocation when it comes.",
            valueName: "bytes"))
    var arena = 8 << 20

    @Option(
        help: ArgumentHelp(
            "How many images find warm memory at once: launches that overlap, or keep running.",
            valueName: "count"))
    var arenaSlots = 1

    @Option(
        help: ArgumentHelp(
            "Memory that all images may take together, warm slots included; 0 sets no limit.",
            valueName: "bytes"))
    var imageMemory = 0

    @Option(
        help: ArgumentHelp(
            """
            Local socket of this node, as its processes find it in BPROC_SOCKET: a path, or @ and \
            an abstract name. Without it an abstract name is made up.
            """, valueName: "path"))
    var socket: String?

    @Option(
        help: ArgumentHelp(
            "Directory that becomes / for everything the slave starts.", valueName: "dir"))
    var root: String?

    @Option(
        help: ArgumentHelp(
            "When the master is lost, try again this often; without it the slave ends.",
            valueName: "seconds"))
    var reconnect: Int?

    @OptionGroup var control: ControlOptions

    @Option(
        help: ArgumentHelp(
            "Fail on purpose: die-after-chunk:N or stop-after-chunk:N.", visibility: .hidden))
    var fault: String?

    @Option(
        name: .customLong("master"),
        help: ArgumentHelp(
            "The master's address, if the argument does not say it: for the configuration file.",
            valueName: "addr"))
    var configuredMaster: String?

    @Argument(help: ArgumentHelp("The master's address and port.", valueName: "master"))
    var master: String?

    static func main() {
        // Another role of the same binary: no parser, no daemon.
        if let code = HelperRole.run(ProgramArguments.all) { bp_exit(code) }
        mainWithConfiguration()
    }

    func validate() throws {
        guard master != nil || configuredMaster != nil else {
            throw ValidationError("the master's address is missing")
        }
        guard (0...(1 << 40)).contains(arena) else {
            throw ValidationError("--arena must be 0 to 1099511627776 bytes")
        }
        guard (1...1024).contains(arenaSlots) else {
            throw ValidationError("--arena-slots must be 1 to 1024")
        }
        guard imageMemory == 0 || (arena * arenaSlots...(1 << 50)).contains(imageMemory) else {
            throw ValidationError(
                "--image-memory must be 0, or \(arena * arenaSlots) (the warm slots) to "
                    + "1125899906842624 bytes")
        }
        guard node == nil || !frontEnd else {
            throw ValidationError("--front-end has no --node number")
        }
        if let node, !(0..<65536).contains(node) {
            throw ValidationError("--node must be 0 to 65535")
        }
        if let reconnect, !(1...86400).contains(reconnect) {
            throw ValidationError("--reconnect must be 1 to 86400 seconds")
        }
        guard (1...107).contains((socket ?? "@").utf8.count) else {
            throw ValidationError("--socket must have 1 to 107 bytes")
        }
        if let fault, FaultPoint(fault) == nil {
            throw ValidationError("--fault '\(fault)' is not a fault point")
        }
    }

    func run() throws {
        let name = master ?? configuredMaster ?? ""
        guard let masterAddress = SocketAddress(name, defaultPort: 2223) else {
            throw ValidationError("'\(name)' is not an address")
        }
        guard let listenAddress = SocketAddress(listen, defaultPort: 0) else {
            throw ValidationError("--listen '\(listen)' is not an address")
        }
        try daemon.requireReachOfLoopback(masterAddress, "the master")
        try daemon.requireReachOfLoopback(listenAddress, "--listen")
        var configuration = SlaveConfiguration(master: masterAddress, listenAddress: listenAddress)
        configuration.node = frontEnd ? -1 : node
        configuration.arenaByteCount = arena
        configuration.arenaSlotCount = arenaSlots
        configuration.imageByteLimit = imageMemory
        configuration.socketBufferByteCount = daemon.socketBuffer
        configuration.rootDirectory = root
        if let socket { configuration.socketName = socket }
        configuration.forbidsRing = daemon.forbidsRing
        configuration.reconnectSeconds = reconnect
        control.apply(to: &configuration)
        configuration.fault = fault.flatMap { FaultPoint($0) }
        configuration.warnsOfInsecurity = !masterAddress.isLoopback || !listenAddress.isLoopback
        configuration.mayLeaveLoopback = daemon.insecureNoAuthentication
        let log = try daemon.log("bpslave")
        let launcher = try Launcher(daemon)
        daemon.takePrecedence(log)
        do throws(SystemCallError) {
            var slave = try SlaveDaemon(configuration, log: log) {
                do throws(SystemCallError) {
                    try launcher.isReady()
                } catch {
                    log.daemon.error("\(error)")
                }
            }
            let code = slave.run()
            launcher.isEnding()
            launcher.hasFailed(UInt8(truncatingIfNeeded: code))
            slave.carryOutDeparture()
            bp_exit(code)
        } catch {
            log.daemon.critical("\(error)")
            launcher.hasFailed(71)
            bp_exit(71)
        }
    }
}
