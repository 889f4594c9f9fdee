import ArgumentParser
import BProc
import CommandSupport
import Glibc
import System

struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Launch a program and print one line of JSON for each launch.",
        discussion: """
            The program verifies itself and exits with 0. placed_ns runs from the launch of the \
            captured image to the answer of the last node, done_ns to the last exit status. Modes: \
            warm; cold, which must be the first launch of a cluster; overlap, which launches twice \
            at once and prints both.
            """)

    enum Mode: String, ExpressibleByArgument, CaseIterable { case warm, cold, overlap }

    @OptionGroup var place: DirectoryOption
    @OptionGroup var shape: LaunchShape
    @Option(help: "Node specification.")
    var nodes = "up"
    @Option(help: "How many launches.")
    var count = 1
    @Option(help: "warm, cold or overlap.")
    var mode: Mode = .warm
    @Option(name: .customLong("program"), help: "The program, if it is not the first argument.")
    var programOption: String?
    @Argument(parsing: .captureForPassthrough, help: "The program and its arguments.")
    var command: [String] = []

    func run() throws {
        try ClusterCommand.reporting { () throws(CommandError) -> Int32 in
            let words = (programOption.map { [$0] } ?? []) + command.filter { $0 != "--" }
            guard let name = words.first else { throw CommandError("no program is named") }
            let program = try PathSearch.find(name)
            let directory = place.directory
            if directory.exists { _ = unsafe setenv("BPROC_SOCKET", directory.socket, 1) }
            if mode == .cold && directory.hasLaunched {
                throw CommandError("\(directory.path): something was launched before: not cold")
            }
            do throws(BProcError) {
                let image = try Cluster().capture(
                    program, arguments: words.map { Array($0.utf8) },
                    environment: ProcessEnvironment.entries(), compression: shape.compression)
                let known = try Cluster().nodes()
                let chosen = try BenchCommand.choose(nodes, known)
                var status = ExitStatus.success
                for _ in 0..<max(1, count) {
                    status = max(status, try launch(image, program, chosen))
                    if directory.exists { try? directory.markLaunched() }
                }
                return status
            } catch {
                throw CommandError("\(error)")
            }
        }
    }

    private static func choose(
        _ text: String, _ known: [Cluster.Node]
    ) throws(BProcError) -> [Int32] {
        do throws(CommandError) {
            let nodes = try NodeArgument(text, known: known).nodes
            guard !nodes.isEmpty else { throw CommandError("no node is \(text)") }
            return nodes
        } catch {
            throw BProcError(errorNumber: EINVAL, sentence: error.sentence)
        }
    }

    private func launch(
        _ image: borrowing CapturedImage, _ program: String, _ nodes: [Int32]
    ) throws(BProcError) -> Int32 {
        var first = try LaunchRun(image, command: program, nodes: nodes, options: shape.options)
        var second: LaunchRun? =
            mode == .overlap
            ? try LaunchRun(image, command: program, nodes: nodes, options: shape.options) : nil
        while !first.isOver || !(second?.isOver ?? true) {
            var entries = [
                Poll.Entry(first.isOver ? -1 : first.job.descriptor, first.job.pollEvents)
            ]
            if let other = second?.job.descriptor, let events = second?.job.pollEvents {
                entries.append(Poll.Entry(second?.isOver ?? true ? -1 : other, events))
            }
            try? Poll.wait(&entries)
            try first.drain()
            try second?.drain()
        }
        var allVerified = BenchCommand.report(first, mode: mode, order: 1)
        if let second = second.take() {
            allVerified = BenchCommand.report(second, mode: mode, order: 2) && allVerified
        }
        return allVerified ? ExitStatus.success : ExitStatus.failure
    }

    private static func report(_ run: borrowing LaunchRun, mode: Mode, order: Int) -> Bool {
        StandardOutput.write(run.json(mode: mode.rawValue, order: order))
        for failure in run.failures { StandardOutput.report(failure, command: "bpcluster") }
        return run.verifiedCount == run.nodeCount
    }
}

/// The shape of a launch; 0 leaves it to the planner.
struct LaunchShape: ParsableArguments {
    @Option(help: "Children of each node in the relay tree; 0: the planner chooses.")
    var fanOut: UInt32 = 0
    @Option(help: "Bytes of the pieces that are relayed; 0: the planner chooses.")
    var chunk: UInt32 = 0
    @Flag(help: "Forward the ranks' output, as bpsh does; without it they have no descriptors.")
    var forward = false
    @Option(help: "Whether the image is packed by LZ4: auto, if that saves time; always; never.")
    var compression = ImageCompression.auto

    var options: LaunchOptions {
        var options = LaunchOptions()
        options.fanOut = fanOut
        options.chunkByteCount = chunk
        options.inputIsNull = forward
        options.io = forward ? nil : []
        return options
    }
}
