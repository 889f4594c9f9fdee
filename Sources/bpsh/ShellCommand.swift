import ArgumentParser
import BProc
import CommandSupport
import Glibc

/// The options of bpsh. Nodes and command have been split off before: what follows the command's
/// name is never looked into.
struct ShellCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bpsh",
        abstract: "Run a program on nodes, as if it ran here.",
        usage: """
            bpsh [options] NODES command [argument ...]
                   bpsh [options] -a | -A command [argument ...]
            """,
        discussion: """
            NODES is a comma list of numbers (3), ranges (0-15, 16-), states (up, notdown), all \
            and master. The program is found here, through PATH, and sent as it is in memory: the \
            nodes need no files. The exit status is the largest of the ranks': 128 and the signal \
            for one that was killed, 255 for one that was not started; 127 if the command is not \
            found here, 126 if it cannot be executed. Examples:
              bpsh -p 0-3 uname -sr
              echo hello | bpsh -a wc -c
              bpsh -d -O /tmp/log 0,5,63 sh -c 'date; date >&2'
            """,
        version: "bpsh (bproc) 0.1")

    static let grammar = CommandSplit.Grammar(
        valued: [
            "-b", "--buffer", "-l", "-I", "--stdin", "-O", "--stdout", "-E", "--stderr",
            "--fan-out", "--chunk", "--compression", "--trace",
        ], nodeSelecting: ["-a", "-A", "--all-up", "--all-not-down"])

    @Flag(name: [.customShort("a"), .long], help: "All nodes that are up.")
    var allUp = false
    @Flag(name: [.customShort("A"), .long], help: "All nodes that are not down.")
    var allNotDown = false
    @OptionGroup var streams: StreamOptions
    @Flag(name: .shortAndLong, help: "Print the seconds that it took.")
    var time = false
    @Option(
        help: ArgumentHelp(
            "Write when each node was how far, for a viewer of trace events; -: as a table.",
            valueName: "file"))
    var trace: String?
    @Flag(
        help: "Exit statuses of the original: 0 for nodes that are missing or start nothing.")
    var classic = false
    @Option(
        name: .customShort("l", allowingJoined: true),
        help: ArgumentHelp("Ignored: rsh has it.", valueName: "user"))
    var ignoredUser: String?
    @Flag(name: .customShort("v"), help: "Show the version.")
    var showsVersion = false
    @Option(help: "Children of each node in the relay tree; 0: the planner chooses.")
    var fanOut: UInt32 = 0
    @Option(help: "Bytes of the pieces that are relayed; 0: the planner chooses.")
    var chunk: UInt32 = 0
    @Option(help: "Whether the image is packed by LZ4: auto, if that saves time; always; never.")
    var compression = ImageCompression.auto

    func validate() throws {
        if showsVersion { throw CleanExit.message(Self.configuration.version) }
        if allUp && allNotDown { throw ValidationError("-a and -A exclude each other.") }
    }

    static func run(_ split: CommandSplit) -> Never {
        let options = ShellCommand.parseOrExit(
            split.options.map { String(decoding: $0, as: UTF8.self) })
        do throws(CommandError) {
            Glibc.exit(try options.run(nodes: split.nodes, command: split.command))
        } catch {
            StandardOutput.report(error.sentence, command: "bpsh")
            Glibc.exit(error.exitStatus)
        }
    }

    private func run(nodes: [UInt8]?, command: [[UInt8]]) throws(CommandError) -> Int32 {
        if nodes == nil && !allUp && !allNotDown {
            throw CommandError("no nodes are named; see bpsh --help")
        }
        if nodes != nil && (allUp || allNotDown) {
            // "bpsh 0-3 -a date": the split has seen the nodes before the option.
            throw CommandError("nodes are named, and -a or -A is given as well")
        }
        guard let name = command.first else {
            throw CommandError("no command is named; see bpsh --help")
        }
        let program = try find(String(decoding: name, as: UTF8.self))
        let traceFile = try openTrace()
        do throws(BProcError) {
            let known = try Cluster().nodes()
            let chosen = try choose(nodes, known)
            for missing in chosen.missing {
                StandardOutput.report(
                    "node \(missing): \(BProcError.message(for: Self.invalidNode))",
                    command: "bpsh")
            }
            guard !chosen.nodes.isEmpty else {
                guard !classic else { return ExitStatus.success }
                StandardOutput.report("there is no such node", command: "bpsh")
                return ExitStatus.notStarted
            }
            let status = try start(program, command, on: chosen.nodes, traceFile: traceFile)
            return chosen.missing.isEmpty || classic ? status : ExitStatus.notStarted
        } catch {
            let status = error.code == .failed ? ExitStatus.failure : ExitStatus.notStarted
            throw CommandError(error.description, exitStatus: status)
        }
    }

    private func find(_ name: String) throws(CommandError) -> String {
        do throws(CommandError) {
            return try PathSearch.find(name)
        } catch {
            throw CommandError(
                error.sentence, exitStatus: classic ? ExitStatus.failure : error.exitStatus)
        }
    }

    /// BE_INVALIDNODE of sys/bproc_common.h.
    private static let invalidNode: Int32 = 300

    private func choose(
        _ text: [UInt8]?, _ known: [Cluster.Node]
    ) throws(BProcError) -> NodeArgument {
        if allUp { return NodeArgument(inState: "up", known: known) }
        if allNotDown { return NodeArgument(inState: "down", inverted: true, known: known) }
        do throws(CommandError) {
            return try NodeArgument(String(decoding: text ?? [], as: UTF8.self), known: known)
        } catch {
            throw BProcError(errorNumber: EINVAL, sentence: error.sentence)
        }
    }

    /// The file of `--trace`, before anything is started; nil: the table goes to standard error.
    private func openTrace() throws(CommandError) -> Int32? {
        guard let trace, trace != "-" else { return nil }
        guard let descriptor = TextFile.create(trace) else {
            throw CommandError(
                "trace \(trace): \(BProcError.message(for: errno))",
                exitStatus: ExitStatus.notStarted)
        }
        return descriptor
    }

    /// - Returns: the exit status, given that of the ranks.
    private func write(_ launchTrace: LaunchTrace, to file: Int32?, status: Int32) -> Int32 {
        let text = file == nil ? launchTrace.table : launchTrace.json
        guard !TextFile.write(text, to: file ?? STDERR_FILENO) else { return status }
        StandardOutput.report(
            "trace \(trace ?? ""): \(BProcError.message(for: errno))", command: "bpsh")
        return max(status, ExitStatus.failure)
    }

    private func start(
        _ program: String, _ command: [[UInt8]], on nodes: [Int32], traceFile: Int32?
    ) throws(BProcError) -> Int32 {
        let environment = ProcessEnvironment.setting(
            [("BPROC_RANK", "XXXXXXX"), ("BPROC_PROGNAME", program)],
            in: ProcessEnvironment.entries())
        let begin = Stopwatch.nanoseconds()
        var launchTrace = trace.map { _ in LaunchTrace(program: program, now: begin) }
        // Before the signals are taken: the program inherits this process's signal mask.
        let image: CapturedImage
        do throws(BProcError) {
            image = try Cluster().capture(
                program, arguments: command, environment: environment, compression: compression)
        } catch {
            // What the kernel says of a program that it would not execute here either.
            guard [EACCES, ENOEXEC, ENOENT].contains(error.errorNumber) else { throw error }
            StandardOutput.report(error.description, command: "bpsh")
            return classic ? ExitStatus.failure : ExitStatus.notExecutable
        }
        launchTrace?.isCaptured(now: Stopwatch.nanoseconds())
        // Both are inherited, so not before the image is taken.
        ShellSession.setSignals()
        var options = LaunchOptions()
        options.tellsTimes = trace != nil
        options.makesChildren = true
        options.fanOut = fanOut
        options.chunkByteCount = chunk
        streams.set(&options)
        var settings = streams.settings
        settings.isClassic = classic
        launchTrace?.isLaunched(on: nodes, now: Stopwatch.nanoseconds())
        var session = try ShellSession(
            job: Cluster().launch(image, command: program, on: nodes, options: options),
            settings: settings, trace: launchTrace)
        var status = try session.run()
        if let launchTrace = session.trace {
            status = write(launchTrace, to: traceFile, status: status)
        }
        if time {
            StandardOutput.write("\(Stopwatch.seconds(Stopwatch.nanoseconds() - begin))\n")
        }
        return status
    }
}
