import RelayTree
import Testing

@Suite struct PlannerTests {
    static let fourMebibytes: UInt64 = 4 << 20

    /// A network by its rate and the time of an empty message, of which a share occupies the
    /// sender: all of it (Hockney) or a tenth (LogGP).
    static func network(
        bytesPerSecond: Double, alphaMicroseconds: Double, senderShare: Double
    ) -> CostModel {
        CostModel(
            sendOverheadNanoseconds: alphaMicroseconds * 1000 * senderShare,
            latencyNanoseconds: alphaMicroseconds * 1000 * (1 - senderShare),
            uplinkBytesPerSecond: bytesPerSecond, flowBytesPerSecond: .infinity, nodeWork: .free,
            nodesPerHost: 1, coresPerHost: 1)
    }

    struct Row: Sendable, CustomTestStringConvertible {
        let name: String
        let bytesPerSecond: Double
        let alphaMicroseconds: Double
        let senderShare: Double
        /// Fan-out, chunk (nil: any) and time of the best plan, 4 MiB to 1023 nodes.
        let chunkByteCount: UInt32
        let bestMilliseconds: Double
        /// Best time with fan-outs 4, 8 and 32.
        let otherMilliseconds: [Double]
        var testDescription: String { name }
    }

    /// Times of the k-ary pipeline as computed from D·L + (D + n − 1)·k·(o + c/B).
    static let rows = [
        Row(
            name: "1 GbE, Hockney", bytesPerSecond: 125e6, alphaMicroseconds: 50, senderShare: 1,
            chunkByteCount: 64 << 10, bestMilliseconds: 83.9, otherMilliseconds: [156, 308, 1160]),
        Row(
            name: "1 GbE, LogGP", bytesPerSecond: 125e6, alphaMicroseconds: 50, senderShare: 0.1,
            chunkByteCount: 16 << 10, bestMilliseconds: 72.6, otherMilliseconds: [141, 280, 1100]),
        Row(
            name: "10 GbE, Hockney", bytesPerSecond: 1.25e9, alphaMicroseconds: 20, senderShare: 1,
            chunkByteCount: 128 << 10, bestMilliseconds: 10.2,
            otherMilliseconds: [18.0, 34.9, 125]),
        Row(
            name: "10 GbE, LogGP", bytesPerSecond: 1.25e9, alphaMicroseconds: 20,
            senderShare: 0.1, chunkByteCount: 32 << 10, bestMilliseconds: 7.9,
            otherMilliseconds: [14.9, 29.3, 113]),
        Row(
            name: "100 GbE, Hockney", bytesPerSecond: 12.5e9, alphaMicroseconds: 5, senderShare: 1,
            chunkByteCount: 128 << 10, bestMilliseconds: 1.27,
            otherMilliseconds: [2.08, 3.95, 13.5]),
        Row(
            name: "100 GbE, LogGP", bytesPerSecond: 12.5e9, alphaMicroseconds: 5,
            senderShare: 0.1, chunkByteCount: 64 << 10, bestMilliseconds: 0.88,
            otherMilliseconds: [1.58, 3.09, 11.6]),
    ]

    static func milliseconds(_ choice: PlanChoice) -> Double {
        Double(choice.predictedNanoseconds) / 1e6
    }

    static func isWithinThreePercent(_ value: Double, of expected: Double) -> Bool {
        abs(value / expected - 1) < 0.03
    }

    @Test(arguments: rows)
    func agreesWithThePipelineTables(row: Row) {
        let costs = Self.network(
            bytesPerSecond: row.bytesPerSecond, alphaMicroseconds: row.alphaMicroseconds,
            senderShare: row.senderShare)
        let best = Planner.plan(
            nodeCount: 1023, imageByteCount: Self.fourMebibytes, costs: costs)
        #expect(best.fanOut == 2)
        #expect(best.chunkByteCount == row.chunkByteCount)
        #expect(Self.isWithinThreePercent(Self.milliseconds(best), of: row.bestMilliseconds))
        for (fanOut, expected) in zip([4, 8, 32], row.otherMilliseconds) {
            let forced = Planner.plan(
                nodeCount: 1023, imageByteCount: Self.fourMebibytes, costs: costs, fanOut: fanOut)
            #expect(forced.fanOut == fanOut)
            let time = Self.milliseconds(forced)
            #expect(Self.isWithinThreePercent(time, of: expected), "\(fanOut): \(time)")
        }
    }

    @Test(arguments: [(10_000, 87.3), (100_000, 89.3), (1_000_000, 91.2)])
    func growsSlowlyWithTheNodes(nodeCount: Int, expected: Double) {
        let costs = Self.network(bytesPerSecond: 125e6, alphaMicroseconds: 50, senderShare: 1)
        let choice = Planner.plan(
            nodeCount: nodeCount, imageByteCount: Self.fourMebibytes, costs: costs)
        #expect(choice.fanOut == 2)
        #expect(Self.isWithinThreePercent(Self.milliseconds(choice), of: expected))
    }

    @Test func takesTheChainForFewNodesAndTheTreeForMany() {
        let costs = Self.network(bytesPerSecond: 125e6, alphaMicroseconds: 50, senderShare: 0.1)
        let few = Planner.plan(nodeCount: 32, imageByteCount: Self.fourMebibytes, costs: costs)
        #expect(few.fanOut == 1)
        let small = Planner.plan(nodeCount: 1023, imageByteCount: 1024, costs: costs)
        #expect(small.fanOut >= 3)
    }

    @Test func servesManySlowNodesFromAFastUplink() {
        // A head node of 25 Gbit/s in front of flows of 1 Gbit/s: fan-out is free up to 25.
        var costs = Self.network(bytesPerSecond: 3.125e9, alphaMicroseconds: 20, senderShare: 0.1)
        costs.flowBytesPerSecond = 125e6
        let choice = Planner.plan(nodeCount: 24, imageByteCount: 64 << 20, costs: costs)
        #expect(choice.fanOut >= 12)
    }

    // MARK: Many nodes on one machine

    static let oneMachine = CostModel.loopback(nodesPerHost: 1023, coresPerHost: 2)

    static func seconds(fanOut: Int, chunkByteCount: UInt32) -> Double {
        Planner.predictedNanoseconds(
            nodeCount: 1023, imageByteCount: fourMebibytes, fanOut: fanOut,
            chunkByteCount: chunkByteCount, costs: oneMachine) / 1e9
    }

    @Test(arguments: [16, 64, 256, 1023])
    func prefersWiderTreesAndLargeChunksWhereTheProcessorIsShared(nodeCount: Int) {
        let choice = Planner.plan(
            nodeCount: nodeCount, imageByteCount: Self.fourMebibytes,
            costs: .loopback(nodesPerHost: nodeCount, coresPerHost: 2))
        #expect((4...16).contains(choice.fanOut))
        #expect(choice.chunkByteCount >= 1 << 20)
        // With many nodes there is work enough for all processors while a node waits for it all.
        #expect(nodeCount < 256 || choice.chunkByteCount >= Self.fourMebibytes)
    }

    /// Processor time of a slave beside that with fan-out 8 and one chunk, as measured with 1023
    /// slaves. What a launch costs a slave beside the image is 0.7 ms in all of them.
    @Test(arguments: [
        (4, 512, 1.17), (8, 512, 1.21), (16, 512, 1.29), (4, 2048, 1.04), (8, 2048, 1.12),
        (16, 2048, 1.15), (4, 8192, 1.01), (16, 8192, 0.95), (32, 8192, 1.04),
    ])
    func agreesWithTheMeasuredSweep(fanOut: Int, kibibytes: UInt32, measured: Double) {
        func work(_ fanOut: Int, _ kibibytes: UInt32) -> Double {
            Self.seconds(fanOut: fanOut, chunkByteCount: kibibytes << 10) / 1023 * 2 + 0.7e-3
        }
        let predicted = work(fanOut, kibibytes) / work(8, 8192)
        #expect(abs(predicted / measured - 1) < 0.15, "\(predicted)")
    }

    @Test func avoidsTheExtremesOnOneMachine() {
        let best = Self.seconds(fanOut: 8, chunkByteCount: 8 << 20)
        #expect(Self.seconds(fanOut: 2, chunkByteCount: 8 << 20) > best)
        #expect(Self.seconds(fanOut: 1, chunkByteCount: 512 << 10) > 1.3 * best)
        #expect(Self.seconds(fanOut: 1022, chunkByteCount: 512 << 10) > 1.3 * best)
        #expect(Self.seconds(fanOut: 4, chunkByteCount: 16 << 10) > 3 * best)
    }

    @Test func turnsFromProcessorToWireAsNodesSpreadOut() {
        // The same daemons on the same sockets; only how many share a machine changes.
        var spread = CostModel.gigabitEthernet
        let wire = Planner.plan(
            nodeCount: 1023, imageByteCount: Self.fourMebibytes, costs: spread)
        #expect(wire.fanOut == 2)
        #expect((16 << 10)...(64 << 10) ~= wire.chunkByteCount)
        spread.nodesPerHost = 1023
        spread.coresPerHost = 2
        let shared = Planner.plan(
            nodeCount: 1023, imageByteCount: Self.fourMebibytes, costs: spread)
        #expect(shared.chunkByteCount > wire.chunkByteCount)
        #expect(shared.predictedNanoseconds > wire.predictedNanoseconds)
    }

    // MARK: Forced values

    @Test func obeysForcedValues() {
        let choice = Planner.plan(
            nodeCount: 1023, imageByteCount: Self.fourMebibytes, costs: .gigabitEthernet,
            fanOut: 7, chunkByteCount: 48 << 10)
        #expect(choice.fanOut == 7)
        #expect(choice.chunkByteCount == 48 << 10)
        let flat = Planner.plan(
            nodeCount: 10, imageByteCount: 1, costs: .gigabitEthernet, fanOut: 1022)
        #expect(flat.fanOut == 10)
        let chunkOnly = Planner.plan(
            nodeCount: 1023, imageByteCount: Self.fourMebibytes, costs: .gigabitEthernet,
            chunkByteCount: 1 << 20)
        #expect(chunkOnly.chunkByteCount == 1 << 20)
    }

    /// Whatever the sizes, the answer is the best of the table it was taken from, and is finite.
    @Test(arguments: [1, 2, 3, 16, 64, 1023, 1_000_000])
    func isTheBestOfItsTable(nodeCount: Int) {
        for costs in [CostModel.gigabitEthernet, Self.oneMachine] {
            for bytes: UInt64 in [1, 5000, 100_000, 4 << 20, (4 << 20) + 8192, 1 << 40] {
                let choice = Planner.plan(nodeCount: nodeCount, imageByteCount: bytes, costs: costs)
                #expect(choice.fanOut >= 1 && choice.fanOut <= nodeCount)
                #expect(choice.predictedNanoseconds > 0)
                for fanOut in Planner.fanOuts where fanOut <= nodeCount {
                    var chunk = Planner.chunkByteCounts.lowerBound
                    while chunk <= Planner.chunkByteCounts.upperBound {
                        let other = Planner.predictedNanoseconds(
                            nodeCount: nodeCount, imageByteCount: bytes, fanOut: fanOut,
                            chunkByteCount: chunk, costs: costs)
                        #expect(Double(choice.predictedNanoseconds) <= other + 1)
                        chunk *= 2
                    }
                }
            }
        }
    }

    @Test func countsAShortLastChunkAsShort() {
        // An image is its data and a header: the last chunk is short and must cost little.
        let costs = CostModel.gigabitEthernet
        func nanoseconds(_ byteCount: UInt64) -> Double {
            Planner.predictedNanoseconds(
                nodeCount: 1023, imageByteCount: byteCount, fanOut: 2,
                chunkByteCount: 1 << 20, costs: costs)
        }
        let exact = nanoseconds(4 << 20)
        #expect(nanoseconds((4 << 20) + 8192) < exact * 1.01)
        #expect(nanoseconds((4 << 20) + 8192) > exact)
    }
}
