import RelayTree
import Testing

/// When it pays to pack an image: a comparison of two predictions.
struct PackingTests {
    static let oneMachine = CostModel.loopback(nodesPerHost: 1023, coresPerHost: 2)
    static let fourMebibytes: UInt64 = 4 << 20

    static func pays(
        _ ratio: Double, nodes: Int = 16, bytes: UInt64 = fourMebibytes,
        costs: CostModel = .gigabitEthernet
    ) -> Bool {
        Planner.packingPays(
            nodeCount: nodes, imageByteCount: bytes, ratio: ratio, costs: costs)
    }

    /// A network of this rate, all else as on gigabit Ethernet.
    static func network(gigabits: Double) -> CostModel {
        var costs = CostModel.gigabitEthernet
        costs.uplinkBytesPerSecond = gigabits * 125e6
        costs.flowBytesPerSecond = gigabits * 125e6
        return costs
    }

    @Test(arguments: [1, 2, 8, 16, 64, 1023])
    func programsArePackedOnGigabitEthernetAndNoiseIsNot(nodes: Int) {
        #expect(Self.pays(0.6, nodes: nodes))
        #expect(!Self.pays(0.98, nodes: nodes))
        #expect(!Self.pays(1, nodes: nodes))
        #expect(!Self.pays(1.004, nodes: nodes))
    }

    @Test(arguments: [1, 16, 1023]) func nothingIsPackedOnOneMachine(nodes: Int) {
        let costs = CostModel.loopback(nodesPerHost: nodes, coresPerHost: 2)
        for ratio in [0.1, 0.4, 0.6, 0.9] {
            #expect(!Self.pays(ratio, nodes: nodes, costs: costs))
        }
    }

    @Test func aFastNetworkIsNotWorthTheTimeToPack() {
        // 10 Gbit/s move a byte in less time than LZ4 needs to look at it.
        for gigabits in [10.0, 100] {
            #expect(!Self.pays(0.6, costs: Self.network(gigabits: gigabits)))
            #expect(!Self.pays(0.6, nodes: 1023, costs: Self.network(gigabits: gigabits)))
        }
        #expect(Self.pays(0.5, costs: Self.network(gigabits: 0.1)))
    }

    /// What pays at one ratio pays at every smaller one, whatever the size and the nodes.
    @Test(arguments: [1, 3, 16, 1023]) func payingIsMonotonousInTheRatio(nodes: Int) {
        for gigabits in [0.1, 1, 2.5, 10, 25, 100] {
            for bytes: UInt64 in [1, 4096, 100_000, 1 << 20, Self.fourMebibytes, 1 << 30] {
                var paid = true
                for step in 1...40 {
                    let pays = Self.pays(
                        Double(step) / 40, nodes: nodes, bytes: bytes,
                        costs: Self.network(gigabits: gigabits))
                    #expect(paid || !pays, "\(gigabits) Gbit/s, \(bytes) bytes, \(step)/40")
                    paid = pays
                }
            }
        }
    }

    /// The slower the wire, the more often packing pays; a node that unpacks slowly never helps it.
    @Test func payingFollowsTheWireAndTheProcessor() {
        for ratio in [0.3, 0.5, 0.7, 0.9] {
            var paid = true
            for gigabits in [0.1, 0.5, 1, 2.5, 10, 40, 100] {
                let pays = Self.pays(ratio, costs: Self.network(gigabits: gigabits))
                #expect(paid || !pays, "\(ratio) at \(gigabits) Gbit/s")
                paid = pays
                var slow = Self.network(gigabits: gigabits)
                slow.nodeWork.unpackNanosecondsPerByte = 1000
                #expect(!Self.pays(ratio, costs: slow))
            }
        }
    }

    @Test func unpackingCountsInThePrediction() {
        for costs in [CostModel.gigabitEthernet, Self.oneMachine] {
            func nanoseconds(_ unpacked: UInt64?) -> Double {
                Planner.predictedNanoseconds(
                    nodeCount: 1023, imageByteCount: 2 << 20, unpackedByteCount: unpacked,
                    fanOut: 8, chunkByteCount: 256 << 10, costs: costs)
            }
            #expect(nanoseconds(4 << 20) >= nanoseconds(nil))
            #expect(nanoseconds(1 << 30) > nanoseconds(4 << 20))
        }
    }
}
