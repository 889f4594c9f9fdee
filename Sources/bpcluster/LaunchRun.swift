import BProc
import CommandSupport
import Glibc

/// One launch of a program that says by its exit status whether it is what it should be, with the
/// times of every step.
struct LaunchRun: ~Copyable {
    private(set) var job: Job
    let nodeCount: Int
    private let imageByteCount: UInt64
    private let packedByteCount: UInt64?
    private let captureNanoseconds: UInt64
    private let beginNanoseconds: UInt64
    private(set) var placedNanoseconds: UInt64?
    private(set) var doneNanoseconds: UInt64?
    private(set) var placement: JobEvent.Placement?
    private(set) var progress: JobEvent.Progress?
    private(set) var exitedCount = 0
    private(set) var verifiedCount = 0
    private(set) var failedCount = 0
    private(set) var failures: [String] = []
    /// From the launch to each rank's exit.
    private(set) var exits = Histogram()
    private(set) var isOver = false

    init(
        _ image: borrowing CapturedImage, command: String, nodes: [Int32], options: LaunchOptions
    ) throws(BProcError) {
        nodeCount = nodes.count
        imageByteCount = image.byteCount
        packedByteCount = image.packedByteCount
        captureNanoseconds = image.captureNanoseconds
        beginNanoseconds = Stopwatch.nanoseconds()
        job = try Cluster().launch(image, command: command, on: nodes, options: options)
    }

    var elapsedNanoseconds: UInt64 { Stopwatch.nanoseconds() - beginNanoseconds }

    /// Takes note of all that has come.
    mutating func drain() throws(BProcError) {
        while !isOver, let event = try job.next() {
            let now = elapsedNanoseconds
            switch event {
            case .started(let placement):
                placedNanoseconds = now
                self.placement = placement
            case .progress(let progress): self.progress = progress
            case .failure(let rank, let error):
                failedCount += 1
                note("rank \(rank): \(error)")
            case .exit(let exit):
                exitedCount += 1
                exits.add(now)
                if exit.status.rawValue == 0 && !exit.nodeDied {
                    verifiedCount += 1
                } else {
                    note("node \(exit.node): status \(exit.status.shellStatus)")
                }
            case .output(let rank, let node, let stream, let bytes):
                if bytes.isEmpty { break }
                if stream == .standardError {
                    note("node \(node): \(String(decoding: bytes.prefix(200), as: UTF8.self))")
                }
                try job.consumed(bytes.count, from: stream, of: rank)
            case .inputCredit: break
            case .end(let error):
                isOver = true
                doneNanoseconds = now
                if let error { note("\(error)") }
            }
        }
    }

    /// The first few say enough.
    private mutating func note(_ failure: String) {
        if failures.count < 10 { failures.append(failure) }
    }

    var placedCount: Int { placement?.placedCount ?? progress?.placedCount ?? 0 }

    /// Image bytes that have arrived on nodes, in MB per second since the launch.
    var megabytesPerSecond: UInt64 {
        UInt64(placedCount) * imageByteCount * 1000
            / max(1, placedNanoseconds ?? elapsedNanoseconds)
    }

    /// One line of JSON.
    func json(mode: String, order: Int) -> String {
        let fields: [(String, String)] = [
            ("mode", "\"\(mode)\""), ("order", "\(order)"), ("nodes", "\(nodeCount)"),
            ("placed_ns", "\(placedNanoseconds ?? 0)"), ("done_ns", "\(doneNanoseconds ?? 0)"),
            ("placed", "\(placement?.placedCount ?? 0)"), ("verified", "\(verifiedCount)"),
            ("failed", "\(failedCount)"), ("master_placed_ns", "\(placement?.nanoseconds ?? 0)"),
            ("fanout", "\(placement?.fanOut ?? 0)"), ("chunk", "\(placement?.chunkByteCount ?? 0)"),
            ("bytes", "\(imageByteCount)"), ("packed_bytes", "\(packedByteCount ?? 0)"),
            ("capture_ns", "\(captureNanoseconds)"),
        ]
        return "{" + fields.map { "\"\($0.0)\": \($0.1)" }.joined(separator: ", ") + "}\n"
    }
}
