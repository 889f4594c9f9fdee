import BProc
import CommandSupport
import Testing

struct LaunchTraceTests {
    /// Two ranks: one on node 3 that ran, one on node 4 that could not be started.
    private var trace: LaunchTrace {
        var trace = LaunchTrace(program: "/bin/true", now: 1_000_000_000)
        trace.isCaptured(now: 1_005_000_000)
        trace.isLaunched(on: [3, 4], now: 1_006_000_000)
        trace.hasFailed(1, reason: "node 4: \"no\" memory")
        let times = Job.StageTimes(reached: 100, header: 300, complete: 900, placed: 1200)
        trace.hasStarted(times: [times, nil], now: 1_008_000_000)
        trace.hasEnded(0, status: "exit 7", now: 1_010_500_000)
        return trace
    }

    @Test func eachStageIsASpan() {
        let lines = trace.json.split(separator: "\n").map { $0.drop { $0 == "," } }
        func has(_ name: String, _ start: Int, _ duration: Int, _ process: Int, _ thread: Int)
            -> Bool
        {
            let wanted =
                "{\"name\":\"\(name)\",\"ph\":\"X\",\"ts\":\(start),\"dur\":\(duration),"
                + "\"pid\":\(process),\"tid\":\(thread)}"
            return lines.contains { $0 == wanted || $0 == wanted + "," }
        }
        #expect(has("capture", 0, 5000, 0, 0), "\(lines)")
        #expect(has("launch", 6000, 2000, 0, 0))
        #expect(has("reach", 6000, 100, 5, 0))
        #expect(has("first chunk", 6100, 200, 5, 0))
        #expect(has("receive", 6300, 600, 5, 0))
        #expect(has("restore", 6900, 300, 5, 0))
        #expect(has("run, exit 7", 7200, 3300, 5, 0))
        #expect(has("failed: node 4: \\\"no\\\" memory", 6000, 2000, 6, 1))
        #expect(lines.contains { $0.contains("\"pid\":5,\"args\":{\"name\":\"node 3\"}") })
    }

    @Test func theTableHasALineForEachRank() {
        #expect(
            trace.table == """
                /bin/true: captured in 5.000 ms, 1 of 2 ranks placed in 2.000 ms
                rank   node    reached first chunk   complete     placed      ended
                   0      3      0.100      0.300      0.900      1.200      4.500  exit 7
                   1      4  failed: node 4: "no" memory

                """)
    }
}
