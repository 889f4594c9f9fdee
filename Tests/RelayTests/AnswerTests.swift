import Relay
import Testing
import Wire

@Suite struct AnswerTests {
    @Test func theFinalAnswerWaitsForTheSubtree() throws {
        var bench = RelayBench(
            children: [RelayBench.leaf(1), RelayBench.leaf(2)], chunks: 1, isRoot: false,
            ownRanks: 1)
        _ = bench.start()
        _ = bench.connect(1)
        _ = bench.connect(2)
        _ = bench.holdNextChunk()
        // Less than the time that answers wait for each other: nothing goes up.
        let own = bench.act {
            $0.answerOwn(RelayBench.placed(0), now: $1, effects: &$2)
        }
        #expect(try own.answers(on: RelayBench.parent).isEmpty)
        let first = bench.receive(.answer, flags: .final, answer: RelayBench.placed(1), from: 1)
        #expect(try first.answers(on: RelayBench.parent).isEmpty)
        #expect(!bench.relay.isFinished)
        let last = bench.receive(.answer, flags: .final, answer: RelayBench.placed(2), from: 2)
        let answers = try last.answers(on: RelayBench.parent)
        #expect(answers.count == 1 && answers.first?.flags == .final)
        #expect(answers.first?.answer.placed.map(\.rank) == [0, 1, 2])
        #expect(bench.relay.isFinished && bench.relay.childrenHaveAll)
    }

    @Test func earlyAnswersTravelTogetherAndOnce() throws {
        var bench = RelayBench(
            children: [RelayBench.tree(1, [2, 3])], chunks: 1, isRoot: false, ownRanks: 1)
        _ = bench.start()
        _ = bench.connect(1)
        _ = bench.holdNextChunk()
        _ = bench.receive(.answer, answer: RelayBench.placed(1), from: 1)
        _ = bench.receive(.answer, answer: RelayBench.placed(2), from: 1)
        #expect(bench.relay.deadlineNanoseconds == bench.now + LaunchRelay.combineNanoseconds)
        let partial = try bench.tick(after: LaunchRelay.combineNanoseconds)
            .answers(on: RelayBench.parent)
        #expect(partial.count == 1 && partial.first?.flags == [])
        #expect(partial.first?.answer.placed.map(\.rank) == [1, 2])
        #expect(
            try bench.tick(after: LaunchRelay.combineNanoseconds)
                .answers(on: RelayBench.parent).isEmpty)
        // After a quiet time an answer goes up at once; own ranks are still outstanding.
        let late = bench.receive(.answer, flags: .final, answer: RelayBench.placed(3), from: 1)
        let next = try late.answers(on: RelayBench.parent)
        #expect(next.map { $0.flags } == [[]])
        #expect(next.first?.answer.placed.map(\.rank) == [3])
        let own = bench.act { $0.answerOwn(RelayBench.placed(0), now: $1, effects: &$2) }
        let final = try own.answers(on: RelayBench.parent)
        #expect(final.map { $0.flags } == [.final])
        #expect(final.first?.answer.placed.map(\.rank) == [0])
        // After the final answer there is nothing left to say.
        #expect(
            try bench.tick(after: LaunchRelay.combineNanoseconds)
                .answers(on: RelayBench.parent).isEmpty)
    }

    @Test func doneReachesTheChildren() throws {
        var bench = RelayBench(
            children: [RelayBench.leaf(1), RelayBench.leaf(2)], chunks: 1, isRoot: true)
        _ = bench.start()
        for node: Int32 in [1, 2] {
            _ = bench.connect(node)
            _ = bench.receive(
                .answer, flags: .final, answer: RelayBench.placed(UInt32(node)), from: node)
        }
        let effects = bench.act { $0.finish(effects: &$2) }
        for node: Int32 in [1, 2] {
            let frames = try effects.frames(on: RelayBench.link(node))
            #expect(frames.map { $0.header.kind } == [.done])
            #expect(frames.allSatisfy { $0.header.launch == RelayBench.launch && $0.body.isEmpty })
        }
    }

    /// A node without room for the image says so once; its parent serves the children in its place.
    @Test func aWithdrawnChildsChildrenAreAdopted() throws {
        var bench = RelayBench(children: [RelayBench.tree(1, [2, 3])], chunks: 3, isRoot: true)
        _ = bench.start()
        _ = bench.connect(1)
        var failed = Answer()
        failed.failures = [
            Answer.Failure(rank: 1, node: 1, stage: .receive, errorNumber: 28, reason: "no room")
        ]
        let effects = bench.receive(
            .answer, flags: [.final, .withdrawn], answer: failed, from: 1)
        #expect(effects.connections == [2, 3])
        #expect(bench.relay.answers.failures == failed.failures)
        #expect(bench.relay.lostChildCount == 1 && !bench.relay.isFinished)
        let adoption = try #require(bench.connect(2).frames(on: RelayBench.link(2)).first)
        #expect(adoption.header.flags == .adoption)
    }

    @Test func whoWithdrawsSaysSoAndSendsNothingOn() throws {
        var bench = RelayBench(
            children: [RelayBench.leaf(1)], chunks: 3, isRoot: false, ownRanks: 1)
        _ = bench.start()
        _ = bench.connect(1)
        var failed = Answer()
        failed.failures = [
            Answer.Failure(rank: 0, node: 0, stage: .receive, errorNumber: 74, reason: "damaged")
        ]
        let effects = bench.act { $0.withdraw(failed, now: $1, effects: &$2) }
        let answers = try effects.answers(on: RelayBench.parent)
        #expect(answers.map { $0.flags } == [[.final, .withdrawn]])
        #expect(answers.first?.answer == failed)
        #expect(bench.holdNextChunk().chunks(to: 1).isEmpty)
        #expect(!bench.relay.childrenHaveAll)
        #expect(bench.act { $0.withdraw(failed, now: $1, effects: &$2) }.isEmpty)
    }
}
