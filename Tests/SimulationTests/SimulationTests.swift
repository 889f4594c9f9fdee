import Glibc
import SimulatedCluster
import Testing

/// The production state code of master and slaves over a seeded clock and network. A failing seed
/// is printed; `BPROC_SEED=n swift test --filter SimulationTests` replays it alone.
@Suite struct SimulationTests {
    @Test func aThousandSeeds() {
        var failureCount = 0
        let seeds = ReplaySeed.seeds
        for seed in seeds {
            let cluster = SimulatedCluster(Scenario.drawn(seed: seed))
            let complaints = cluster.run()
            if !complaints.isEmpty {
                Issue.record("seed \(seed): \(complaints.prefix(5)) \(Scenario.drawn(seed: seed))")
                failureCount += 1
            }
            if failureCount > 20 { break }
        }
    }

    @Test(arguments: [1, 2, 8, 32, 1022])
    func everyFanOutPlacesEveryRank(fanOut: Int) {
        let scenario = Scenario(
            seed: 7, nodeCount: fanOut == 1 ? 64 : 1023, fanOut: fanOut, chunkCount: 9)
        let cluster = SimulatedCluster(scenario)
        #expect(cluster.run().isEmpty)
        #expect(cluster.reports.first?.placedCount == scenario.nodeCount)
    }

    /// A program on a node launches: its slave is the root, and receives no chunk of its own image.
    @Test(arguments: [1, 2, 32]) func everyNodeCanBeTheRoot(fanOut: Int) {
        for node in stride(from: Int32(0), to: 40, by: 13) {
            var scenario = Scenario(seed: 9, nodeCount: 40, fanOut: fanOut, chunkCount: 9)
            scenario.clientNode = node
            let cluster = SimulatedCluster(scenario)
            #expect(cluster.run().isEmpty)
            #expect(cluster.reports.first?.placedCount == 40)
            #expect(cluster.chunkBegins[node] == nil)
            #expect(cluster.chunkBegins.count == 39)
        }
    }

    /// An inner relay dies when its subtree has answered and before it has passed on that all have:
    /// its children are told all the same, or ask.
    @Test func heldRanksAreReleasedWhoeverDies() {
        for time in stride(from: UInt64(1_000_000), through: 12_000_000, by: 250_000) {
            var scenario = Scenario(seed: time + 5, nodeCount: 40, fanOut: 3, chunkCount: 4)
            scenario.holds = true
            scenario.faults = [(0, time, .kill), (1, time + 900_000, .vanish)]
            let complaints = SimulatedCluster(scenario).run()
            #expect(complaints.isEmpty, "deaths at \(time) ns: \(complaints.prefix(5))")
        }
    }

    @Test func tenThousandNodesWithDeaths() {
        var scenario = Scenario(seed: 11, nodeCount: 10_000, fanOut: 16, chunkCount: 4)
        for node in stride(from: Int32(0), to: 10_000, by: 997) {
            scenario.faults.append((node, UInt64(node) * 1000, .kill))
        }
        let cluster = SimulatedCluster(scenario)
        let complaints = cluster.run()
        #expect(complaints.isEmpty, "\(complaints.prefix(5))")
    }

    /// An inner relay dies after chunk i: its orphans get only what they do not have.
    @Test func orphansDoNotReceiveAgainWhatTheyHave() {
        for time in stride(from: UInt64(0), through: 6_000_000, by: 250_000) {
            var scenario = Scenario(seed: time + 3, nodeCount: 40, fanOut: 3, chunkCount: 12)
            scenario.faults = [(0, time, .kill)]
            let cluster = SimulatedCluster(scenario)
            let complaints = cluster.run()
            #expect(complaints.isEmpty, "death at \(time) ns: \(complaints.prefix(5))")
        }
    }
}

/// The seeds of a run: 1 to 1000, or the one that the environment names.
enum ReplaySeed {
    static var seeds: ClosedRange<UInt64> {
        guard let text = getenv("BPROC_SEED").map({ String(cString: $0) }), let seed = UInt64(text)
        else { return 1...1000 }
        return seed...seed
    }
}
