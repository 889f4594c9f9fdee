import Wire

/// Text in the exposition format of Prometheus, version 0.0.4.
public struct MetricsText: Sendable {
    public private(set) var text = ""

    public init() {}

    public mutating func gauge(_ name: String, _ help: String, _ value: Int) {
        write(name, help, type: "gauge", [("", value)])
    }

    public mutating func gauge(
        _ name: String, _ help: String, _ label: String, _ values: [(String, Int)]
    ) {
        write(name, help, type: "gauge", label: label, values)
    }

    public mutating func counter(_ name: String, _ help: String, _ value: UInt64) {
        write(name, help, type: "counter", [("", value)])
    }

    /// - Parameter values: by the label's value; all that there can be, those with 0 too.
    public mutating func counter(
        _ name: String, _ help: String, _ label: String, _ values: [(String, UInt64)]
    ) {
        write(name, help, type: "counter", label: label, values)
    }

    public mutating func histogram(_ name: String, _ help: String, _ times: LatencyHistogram) {
        begin(name, help, type: "histogram")
        var count: UInt64 = 0
        for (bound, number) in zip(LatencyHistogram.bounds, times.counts) {
            count += number
            text += "\(name)_bucket{le=\"\(Self.seconds(bound))\"} \(count)\n"
        }
        text += "\(name)_bucket{le=\"+Inf\"} \(times.count)\n"
        text += "\(name)_sum \(Self.seconds(times.sumNanoseconds))\n"
        text += "\(name)_count \(times.count)\n"
    }

    private mutating func write(
        _ name: String, _ help: String, type: String, label: String? = nil,
        _ values: [(String, some BinaryInteger)]
    ) {
        begin(name, help, type: type)
        for (value, number) in values {
            let place = label.map { "{\($0)=\"\(value)\"}" } ?? ""
            text += "\(name)\(place) \(number)\n"
        }
    }

    private mutating func begin(_ name: String, _ help: String, type: String) {
        text += "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n"
    }

    /// Exact: "0.0025", "1.0".
    private static func seconds(_ nanoseconds: UInt64) -> String {
        var digits = String(1_000_000_000 + nanoseconds % 1_000_000_000).dropFirst()
        while digits.count > 1, digits.last == "0" { digits.removeLast() }
        return "\(nanoseconds / 1_000_000_000).\(digits)"
    }
}

extension MasterState {
    /// The master's numbers for a monitoring system.
    public func write(to text: inout MetricsText) {
        writeTable(to: &text)
        writeLaunches(to: &text)
        text.counter(
            "bproc_signals_forwarded_total", "Signals sent to nodes for their ranks.",
            metrics.signalCount)
        let kinds: [HookKind] = [.nodeUp, .nodeDown]
        text.counter(
            "bproc_hook_runs_total", "Runs of the site's programs for nodes.", "hook",
            kinds.map { ($0.rawValue, metrics.hookRunCounts[$0] ?? 0) })
        text.counter(
            "bproc_hook_failures_total",
            "Runs that could not begin, took too long, or ended with another status than 0.",
            "hook", kinds.map { ($0.rawValue, metrics.hookFailureCounts[$0] ?? 0) })
    }

    private func writeTable(to text: inout MetricsText) {
        var states: [String: Int] = ["up": 0, "down": 0, "boot": 0, "error": 0]
        for record in nodes.records { states[record.shownState, default: 0] += 1 }
        text.gauge(
            "bproc_nodes", "Configured nodes by their state.", "state",
            states.sorted { $0.key < $1.key }.map { ($0.key, $0.value) })
        text.counter(
            "bproc_node_arrivals_total", "Slaves that were let in.", metrics.nodeArrivalCount)
        text.counter(
            "bproc_node_losses_total", "Slaves that have gone, for whatever reason.",
            metrics.nodeLossCount)
    }

    private func writeLaunches(to text: inout MetricsText) {
        text.gauge("bproc_launches", "Launches that have not ended.", launchCount)
        text.gauge("bproc_processes", "Processes that are starting or running.", processCount)
        text.counter(
            "bproc_launches_begun_total", "Launches that were asked for.",
            metrics.begunLaunchCount)
        text.counter(
            "bproc_launches_answered_total",
            "Launches whose ranks have all been placed or have failed.", "result",
            MasterMetrics.LaunchResult.allCases.map {
                ($0.rawValue, metrics.answeredLaunchCounts[$0] ?? 0)
            })
        text.counter(
            "bproc_launches_ended_total", "Launches whose ranks have all ended.",
            metrics.endedLaunchCount)
        text.counter(
            "bproc_ranks_placed_total", "Ranks that were started.", metrics.placedRankCount)
        text.counter(
            "bproc_ranks_adopted_total", "Ranks that nodes have brought from other masters.",
            metrics.adoptedRankCount)
        text.counter(
            "bproc_ranks_failed_total", "Ranks that were not started, by the stage they came to.",
            "stage",
            LaunchStage.allCases.map { ($0.label, metrics.failedRankCounts[$0] ?? 0) })
        text.counter(
            "bproc_ranks_stalled_total",
            "Ranks among them whose node showed no sign of life for too long.",
            metrics.stalledRankCount)
        text.counter(
            "bproc_ranks_ended_total", "Ranks that were started and have ended, by the cause.",
            "cause",
            MasterMetrics.RankEnd.allCases.map {
                ($0.rawValue, metrics.endedRankCounts[$0] ?? 0)
            })
        text.histogram(
            "bproc_launch_placed_seconds",
            "From a request to the placing of its last rank, of launches that were placed whole.",
            metrics.placedLatency)
        text.counter(
            "bproc_image_bytes_total", "Sizes of the images of all launches, as they travel.",
            metrics.imageByteCount)
        text.counter(
            "bproc_relay_sent_bytes_total",
            "Image bytes that the master itself has sent, to the first nodes of its trees.",
            metrics.relayedByteCount)
        text.counter(
            "bproc_relays_healed_total",
            "First nodes of a tree that were lost, and replaced by those below them.",
            metrics.healedRelayCount)
    }
}

extension LaunchStage {
    /// One word.
    fileprivate var label: String {
        switch self {
        case .plan: "plan"
        case .connect: "connect"
        case .header: "header"
        case .receive: "receive"
        case .spawn: "spawn"
        case .restore: "restore"
        case .io: "io"
        case .node: "node"
        }
    }
}
