import MasterCore
import Relay
import RelayTree
import Testing
import Wire

/// What is counted where it is decided.
@Suite struct MetricsTests {
    private static func text(_ master: MasterState) -> [Substring] {
        var text = MetricsText()
        master.write(to: &text)
        return text.text.split(separator: "\n")
    }

    @Test func timesLieBelowTheirBounds() {
        var times = LatencyHistogram()
        for time: UInt64 in [1, 1_000_000, 1_000_001, 2_500_000, 30_000_000_001] { times.add(time) }
        #expect(times.counts.prefix(3) == [2, 2, 0])
        #expect(times.count == 5 && times.sumNanoseconds == 30_004_500_003)
        var text = MetricsText()
        text.histogram("h", "Help.", times)
        let lines = text.text.split(separator: "\n")
        #expect(lines.prefix(2) == ["# HELP h Help.", "# TYPE h histogram"])
        // Buckets hold all that lie below them.
        #expect(lines[2] == "h_bucket{le=\"0.001\"} 2" && lines[3] == "h_bucket{le=\"0.0025\"} 4")
        #expect(
            lines.suffix(4) == [
                "h_bucket{le=\"30.0\"} 4", "h_bucket{le=\"+Inf\"} 5", "h_sum 30.004500003",
                "h_count 5",
            ])
    }

    @Test func hooksAndTheirFailuresAreCounted() {
        var master = HookTests.master(kinds: [.nodeUp, .nodeDown])
        var effects: [MasterEffect] = []
        let runs = HookTests.connect(&master, 0) + HookTests.connect(&master, 1)
        master.hookEnded(runs[0].number, .exited(0), now: 0, effects: &effects)
        master.hookEnded(runs[1].number, .failed("no such file"), now: 0, effects: &effects)
        master.controlIsLost(HookTests.link(0), reason: "gone", now: 0, effects: &effects)
        let lines = Self.text(master)
        for line in [
            "bproc_hook_runs_total{hook=\"node-up\"} 2",
            "bproc_hook_runs_total{hook=\"node-down\"} 1",
            "bproc_hook_failures_total{hook=\"node-up\"} 1",
            "bproc_hook_failures_total{hook=\"node-down\"} 0", "bproc_node_arrivals_total 2",
            "bproc_node_losses_total 1", "bproc_nodes{state=\"error\"} 1",
            "bproc_nodes{state=\"down\"} 3",
        ] {
            #expect(lines.contains(Substring(line)), "\(line)")
        }
    }
}
