import Relay
import Testing
import Wire

/// How far a launch has come, where somebody watches it.
@Suite struct ReachTests {
    private static func relay(
        _ children: [RelaySubtree], isRoot: Bool = false, flags: LaunchOrder.Flags = .watched
    ) -> RelayBench {
        RelayBench(children: children, chunks: 1, isRoot: isRoot, ownRanks: 1, flags: flags)
    }

    @Test func aLeafSaysAtOnceThatItHasTheLaunch() throws {
        var leaf = Self.relay([])
        #expect(try leaf.start().reached(on: RelayBench.parent) == [1])
        #expect(try leaf.tick(after: RelayBench.stall / 8).reached(on: RelayBench.parent) == [])
    }

    @Test func nobodyCountsWhereNobodyWatches() throws {
        var leaf = Self.relay([], flags: [])
        #expect(try leaf.start().reached(on: RelayBench.parent) == [])
        _ = leaf.holdNextChunk()
        let end = leaf.act { $0.answerOwn(RelayBench.placed(0), now: $1, effects: &$2) }
        #expect(try end.reached(on: RelayBench.parent) == [0])
    }

    @Test func whatChildrenSayTravelsTogether() throws {
        var bench = Self.relay([RelayBench.tree(1, [2]), RelayBench.leaf(3)])
        #expect(try bench.start().reached(on: RelayBench.parent) == [])
        _ = bench.connect(1)
        _ = bench.connect(3)
        for (node, count) in [(3, 1), (1, 1), (1, 2)] as [(Int32, UInt32)] {
            let news = bench.receive(.answer, subject: count, answer: Answer(), from: node)
            #expect(try news.reached(on: RelayBench.parent) == [])
        }
        #expect(bench.relay.deadlineNanoseconds == bench.now + LaunchRelay.combineNanoseconds)
        let told = bench.tick(after: LaunchRelay.combineNanoseconds)
        #expect(try told.reached(on: RelayBench.parent) == [4])
    }

    @Test func aChildIsBelievedUpToItsSubtree() throws {
        var root = Self.relay([RelayBench.tree(1, [2])], isRoot: true)
        _ = root.start()
        _ = root.connect(1)
        _ = root.receive(.answer, subject: .max, answer: Answer(), from: 1)
        #expect(root.relay.reachedCount == 2)
        _ = root.receive(.answer, subject: 1, answer: Answer(), from: 1)
        #expect(root.relay.reachedCount == 2)
    }

    @Test func theChildrenOfALostRelayAreCountedOnce() throws {
        var root = Self.relay([RelayBench.tree(1, [2, 3])], isRoot: true)
        _ = root.start()
        _ = root.connect(1)
        _ = root.receive(.answer, subject: 3, answer: Answer(), from: 1)
        _ = root.act { $0.linkIsLost(RelayBench.link(1), reason: "reset", now: $1, effects: &$2) }
        for node in [2, 3] as [Int32] {
            _ = root.connect(node)
            _ = root.receive(.attach, subject: 0, from: node)
            _ = root.receive(.answer, subject: 1, answer: Answer(), from: node)
        }
        #expect(root.relay.reachedCount == 3)
    }
}
