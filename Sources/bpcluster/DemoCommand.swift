import ArgumentParser
import BProc
import CommandSupport
import Glibc
import System

struct DemoCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo",
        abstract: "Start a cluster, launch one program on all its nodes, show it, stop the cluster."
    )

    @Option(help: "How many slaves.")
    var nodes = 1023
    @Option(help: "A program that verifies itself. Default: the 4 MiB workload of the benchmarks.")
    var program: String?
    @OptionGroup var shape: LaunchShape
    @OptionGroup var options: ClusterOptions

    func run() throws {
        try ClusterCommand.reporting { () throws(CommandError) -> Int32 in
            let path: String
            if let program {
                path = try PathSearch.find(program)
            } else {
                path = try Self.workload()
            }
            let plan = try options.plan(nodeCount: nodes)
            let cluster = LocalCluster(
                directory: ClusterDirectory(path: "/tmp/bpcluster-\(getuid())-\(getpid())"))
            let signals = try Interrupts.taken()
            let begin = Stopwatch.nanoseconds()
            StandardOutput.write("starting 1 master and \(nodes) slaves\n")
            try cluster.start(plan, signals: signals)
            StandardOutput.write(
                "all up after \(Stopwatch.seconds(Stopwatch.nanoseconds() - begin, digits: 1)) s\n")
            let summary: String
            do throws(CommandError) {
                summary = try launch(path, signals)
            } catch {
                _ = try? cluster.stop()
                throw error
            }
            let (running, _) = try cluster.stop()
            StandardOutput.write("\(running) daemons stopped\n\(summary)\n")
            return summary.hasPrefix("placed \(nodes)/\(nodes) ")
                && summary.contains(" verified \(nodes)/\(nodes) ")
                ? ExitStatus.success : ExitStatus.failure
        }
    }

    /// The benchmarks' program, seen from where SwiftPM puts this one, or installed beside it.
    private static func workload() throws(CommandError) -> String {
        let own = OwnExecutable.directory
        // .build/x86_64-unknown-linux-gnu/release/bpcluster, and out/bench/hash4m of the same tree.
        let places = [
            "\(own)/../../../out/bench/hash4m", "\(own)/../../out/bench/hash4m",
            "\(own)/../libexec/bproc/hash4m", "\(own)/hash4m",
        ]
        for place in places {
            if let found = try? PathSearch.find(place) { return found }
        }
        throw CommandError(
            "the workload hash4m is not built (make -C Benchmarks workloads); or name a --program")
    }

    /// The summary line.
    private func launch(
        _ program: String, _ signals: borrowing SignalDescriptor
    ) throws(CommandError) -> String {
        do throws(BProcError) {
            let all = try Cluster().nodes().map(\.number)
            let image = try Cluster().capture(
                program, arguments: [Array(program.utf8)],
                environment: ProcessEnvironment.entries(), compression: shape.compression)
            let megabytes = Stopwatch.seconds(image.byteCount * 1000, digits: 1)
            StandardOutput.write(
                "image of \(program): \(megabytes) MB, captured in "
                    + "\(Stopwatch.seconds(image.captureNanoseconds * 1000, digits: 1)) ms\n")
            var options = shape.options
            options.reportsProgress = true
            var run = try LaunchRun(image, command: program, nodes: all, options: options)
            try follow(&run, signals)
            StandardOutput.write(
                "from the launch to the exit of each rank, seconds:\n" + run.exits.rendering())
            for failure in run.failures { StandardOutput.report(failure, command: "bpcluster") }
            let placed = Stopwatch.seconds(run.placedNanoseconds ?? 0, digits: 2)
            let done = Stopwatch.seconds(run.doneNanoseconds ?? 0, digits: 2)
            return "placed \(run.placedCount)/\(nodes) in \(placed) s, "
                + "verified \(run.verifiedCount)/\(nodes) in \(done) s"
        } catch {
            throw CommandError("\(error)")
        }
    }

    /// The live view, until every rank is over.
    private func follow(
        _ run: inout LaunchRun, _ signals: borrowing SignalDescriptor
    ) throws(BProcError) {
        var line = StatusLine()
        while !run.isOver {
            var entries = [
                Poll.Entry(run.job.descriptor, run.job.pollEvents),
                Poll.Entry(signals.number, Poll.readable),
            ]
            try? Poll.wait(&entries, timeoutMilliseconds: 50)
            try run.drain()
            if (try? signals.next()) != nil {
                line.clear()
                throw BProcError(errorNumber: EINTR, sentence: "interrupted")
            }
            let placed = run.placedCount
            let done = max(run.exitedCount, run.progress?.doneCount ?? 0)
            let reached = max(placed, run.progress?.reachedCount ?? 0)
            line.show(
                "reached \(reached)  placed \(placed)  running \(max(0, placed - done))  "
                    + "done \(done) of \(nodes)  \(run.megabytesPerSecond) MB/s  "
                    + "\(Stopwatch.seconds(run.elapsedNanoseconds, digits: 2)) s")
        }
        line.clear()
    }
}
