public import BProc

/// One launch, stage by stage, as bpsh has seen it: for people as a table, for viewers of Chrome's
/// trace events (Perfetto, chrome://tracing) as JSON.
///
/// Two clocks are in it. Capture, launch and ends of ranks are by the clock here. How far a node
/// was when is by the master's, from the moment it began the launch, which is drawn where the
/// launch was sent: on the front end the difference is the time of one message.
public struct LaunchTrace {
    /// Times of one rank, in microseconds since the launch was sent.
    struct Rank {
        let node: Int32
        /// nil: it has failed, or nobody has told.
        var times: Job.StageTimes?
        var end: UInt64?
        var failure: String?
        var statusText: String?
    }

    private let program: String
    private let begin: UInt64
    private var captured: UInt64 = 0
    private var launched: UInt64 = 0
    private var started: UInt64 = 0
    private var ranks: [Rank] = []

    /// - Parameter now: when the capture begins, in nanoseconds of a steady clock, as all times
    ///   that the trace is given.
    public init(program: String, now: UInt64) {
        self.program = program
        begin = now
    }

    // MARK: What happens

    public mutating func isCaptured(now: UInt64) { captured = now }

    public mutating func isLaunched(on nodes: [Int32], now: UInt64) {
        launched = now
        ranks = nodes.map { Rank(node: $0) }
    }

    /// Every rank is placed or has failed.
    public mutating func hasStarted(times: [Job.StageTimes?], now: UInt64) {
        started = now
        for (rank, times) in times.enumerated() where ranks.indices.contains(rank) {
            ranks[rank].times = times
        }
    }

    public mutating func hasFailed(_ rank: Int, reason: String) {
        if ranks.indices.contains(rank) { ranks[rank].failure = reason }
    }

    public mutating func hasEnded(_ rank: Int, status: String, now: UInt64) {
        guard ranks.indices.contains(rank) else { return }
        ranks[rank].end = microseconds(now)
        ranks[rank].statusText = status
    }

    /// Since the launch was sent; 0 before that.
    private func microseconds(_ time: UInt64) -> UInt64 {
        (max(time, launched) - launched) / 1000
    }

    private var captureMicroseconds: UInt64 { (max(captured, begin) - begin) / 1000 }

    // MARK: For viewers

    /// JSON of the trace event format: `traceEvents`, times in microseconds from the beginning of
    /// the capture. Each node is a process of the view, each rank a thread of it.
    public var json: String {
        let offset = (max(launched, begin) - begin) / 1000
        var events = [
            Self.name("process_name", "front end", process: 0, thread: nil),
            Self.span("capture", at: 0, for: captureMicroseconds, process: 0, thread: 0),
            Self.span(
                "launch", at: offset, for: microseconds(started), process: 0, thread: 0),
        ]
        for node in Set(ranks.map(\.node)).sorted() {
            events.append(
                Self.name("process_name", "node \(node)", process: Int(node) + 2, thread: nil))
        }
        for (index, rank) in ranks.enumerated() {
            let process = Int(rank.node) + 2
            events.append(
                Self.name("thread_name", "rank \(index)", process: process, thread: index))
            events += spans(of: rank, index: index, process: process, offset: offset)
        }
        return "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n"
            + events.joined(separator: ",\n") + "\n]}\n"
    }

    private func spans(of rank: Rank, index: Int, process: Int, offset: UInt64) -> [String] {
        guard let times = rank.times else {
            let text = rank.failure ?? "no times are known"
            return [
                Self.span(
                    "failed: \(text)", at: offset, for: microseconds(started), process: process,
                    thread: index)
            ]
        }
        let stages = [
            ("reach", 0, UInt64(times.reached)),
            ("first chunk", UInt64(times.reached), UInt64(times.header)),
            ("receive", UInt64(times.header), UInt64(times.complete)),
            ("restore", UInt64(times.complete), UInt64(times.placed)),
            (
                "run" + (rank.statusText.map { ", \($0)" } ?? ""), UInt64(times.placed),
                max(rank.end ?? microseconds(started), UInt64(times.placed))
            ),
        ]
        return stages.map { name, from, to in
            Self.span(
                name, at: offset + from, for: max(from, to) - from, process: process,
                thread: index)
        }
    }

    private static func span(
        _ name: String, at start: UInt64, for duration: UInt64, process: Int, thread: Int
    ) -> String {
        "{\"name\":\(NodeTable.quoted(name)),\"ph\":\"X\",\"ts\":\(start),\"dur\":\(duration),"
            + "\"pid\":\(process),\"tid\":\(thread)}"
    }

    private static func name(
        _ kind: String, _ name: String, process: Int, thread: Int?
    ) -> String {
        let place = thread.map { ",\"tid\":\($0)" } ?? ""
        return "{\"name\":\"\(kind)\",\"ph\":\"M\",\"pid\":\(process)\(place),"
            + "\"args\":{\"name\":\(NodeTable.quoted(name))}}"
    }

    // MARK: For people

    /// Milliseconds since the launch was sent, a line for each rank.
    public var table: String {
        var text = "\(program): captured in \(Self.milliseconds(captureMicroseconds)) ms, "
        let placed = ranks.count { $0.times != nil }
        text += "\(placed) of \(ranks.count) ranks placed in "
        text += "\(Self.milliseconds(microseconds(started))) ms\n"
        text += "rank   node    reached first chunk   complete     placed      ended\n"
        for (index, rank) in ranks.enumerated() {
            text += Column.right("\(index)", 4) + " " + Column.right("\(rank.node)", 6)
            guard let times = rank.times else {
                text += "  failed: \(rank.failure ?? "no times are known")\n"
                continue
            }
            for time in [times.reached, times.header, times.complete, times.placed] {
                text += " " + Column.right(Self.milliseconds(UInt64(time)), 10)
            }
            text += " " + Column.right(rank.end.map(Self.milliseconds) ?? "-", 10)
            text += rank.statusText.map { "  \($0)\n" } ?? "\n"
        }
        return text
    }

    /// "12.345"
    private static func milliseconds(_ microseconds: UInt64) -> String {
        let rest = "\(microseconds % 1000)"
        return "\(microseconds / 1000)." + String(repeating: "0", count: 3 - rest.utf8.count) + rest
    }
}
