import ArgumentParser
import BProc
import CommandSupport

/// Changes nodes. The parser checks the line and has the help; the order of the options, which is
/// their meaning, comes from `OrderedOptions`.
struct ControlCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bpctl",
        abstract: "Change the state, the permission or the power of nodes.",
        usage: "bpctl -S NODES option ...",
        discussion: """
            The options act in their order, each on the nodes that -S or -M before it has chosen. \
            What fails on one node is reported, and the others are done; the exit status is then \
            1. Examples:
              bpctl -S 0-15 -s up -m 111
              bpctl -S 3 -u alice -g users -m 110 -S 4 -s error
              bpctl -S 0-15 --reconnect 10.1.0.1:2223
              bpctl --debug up
            """,
        version: "bpctl (bproc) 0.1")

    @Option(
        name: [.customShort("S", allowingJoined: true), .customLong("slave"), .customLong("node")],
        help: ArgumentHelp("Choose nodes: 0-15, up, notdown, all.", valueName: "nodes"))
    var nodes: [String] = []
    @Flag(
        name: [.customShort("M"), .customLong("master")],
        help: "Choose the front end, which is no node of the table: every option fails on it.")
    var frontEnd = false

    @Option(
        name: [.customShort("s", allowingJoined: true), .customLong("state")],
        help: ArgumentHelp(
            "Set the state: at most 15 letters and digits; down disconnects the node."))
    var state: [String] = []
    @Option(
        name: [.customShort("m", allowingJoined: true), .customLong("mode")],
        help: ArgumentHelp("Set who may use the node: execute bits.", valueName: "octal"))
    var mode: [String] = []
    @Option(
        name: [.customShort("u", allowingJoined: true), .customLong("user")],
        help: "Set the node's user, by name or number.")
    var user: [String] = []
    @Option(
        name: [.customShort("g", allowingJoined: true), .customLong("group")],
        help: "Set the node's group, by name or number.")
    var group: [String] = []

    @Option(
        name: [.customShort("r", allowingJoined: true), .customLong("chroot")],
        help: ArgumentHelp(
            "Make a directory of the node / for everything that is started there later.",
            valueName: "dir"))
    var root: [String] = []
    @Flag(name: [.customShort("R"), .customLong("reboot")], help: "Reboot the nodes.")
    var reboot = false
    @Flag(name: [.customShort("H"), .customLong("halt")], help: "Halt the nodes.")
    var halt = false
    @Flag(
        name: [.customShort("P"), .customLong("pwroff"), .customLong("power-off")],
        help: "Power the nodes off.")
    var powerOff = false
    @Option(
        help: ArgumentHelp(
            """
            Let the nodes connect to their master by another address, from one of their own if \
            that is named: what runs there runs on. Another master takes them as new, and what \
            runs there ends.
            """, valueName: "master[:port][,own]"))
    var reconnect: [String] = []
    @Flag(name: .customShort("f"), help: "Ignored, as ever.")
    var ignored = false
    @Flag(help: "Print what the master keeps, or the slaves of nodes: for root and its own user.")
    var debug = false
    @Flag(help: "Print what the master has done and has now, as Prometheus reads it.")
    var metrics = false
    @Argument(help: ArgumentHelp("With --debug: nodes.", valueName: "nodes"))
    var debugged: [String] = []

    func validate() throws {
        let steps = try steps()
        guard debugged.isEmpty || debug else {
            throw ValidationError("Nodes are chosen with -S, but for --debug.")
        }
        guard !debug && !metrics else {
            guard steps.isEmpty, debug != metrics else {
                throw ValidationError("--\(debug ? "debug" : "metrics") stands alone.")
            }
            return
        }
        guard let first = steps.first else { throw ValidationError("There is nothing to do.") }
        guard first.choosesNodes else {
            throw ValidationError("Nodes are chosen first: -S NODES.")
        }
        guard let last = steps.last, !last.choosesNodes else {
            throw ValidationError("There is nothing to do for the last nodes.")
        }
    }

    private func steps() throws -> [ControlStep] {
        do throws(CommandError) {
            return try ControlStep.steps(of: Array(CommandLine.arguments.dropFirst()))
        } catch {
            throw ValidationError(error.sentence)
        }
    }

    func run() throws {
        let steps = try steps()
        do throws(CommandError) {
            if debug { return try BookReport(nodes: debugged).print() }
            if metrics { return try printMetrics() }
            var session = ControlSession()
            for step in steps { try session.carryOut(step) }
            guard !session.hasFailed else { throw CommandError("") }
        } catch {
            if !error.sentence.isEmpty {
                StandardOutput.report(error.sentence, command: "bpctl")
            }
            throw ArgumentParser.ExitCode(error.exitStatus)
        }
    }

    private func printMetrics() throws(CommandError) {
        do throws(BProcError) {
            StandardOutput.write(try Cluster().metrics())
        } catch {
            throw CommandError(error.description)
        }
    }
}
