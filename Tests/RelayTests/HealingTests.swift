import Relay
import Testing
import Wire

@Suite struct HealingTests {
    @Test func anAdoptedChildGetsWhatItLacks() throws {
        var bench = RelayBench(children: [RelayBench.tree(1, [2])], chunks: 20, isRoot: true)
        _ = bench.start()
        _ = bench.connect(1)
        let lost = bench.act {
            $0.linkIsLost(RelayBench.link(1), reason: "reset", now: $1, effects: &$2)
        }
        #expect(lost.connections == [2])
        #expect(bench.relay.answers.failures.map(\.rank) == [1])
        #expect(bench.relay.answers.failures.map(\.errorNumber) == [FailureCode.slaveDied])
        // No chunk before the child has said where it stands.
        let adoption = bench.connect(2)
        #expect(try adoption.frames(on: RelayBench.link(2)).map { $0.header.flags } == [.adoption])
        #expect(adoption.chunks(to: 2).isEmpty)
        #expect(bench.receive(.credit, subject: 20, from: 2).chunks(to: 2).isEmpty)
        let attached = bench.receive(.attach, subject: 7, from: 2)
        #expect(attached.chunks(to: 2) == Array(7..<(7 + RelayBench.window)))
        #expect(bench.receive(.credit, subject: 20, from: 2).chunks(to: 2) == Array(15..<20))
        // A second attach would send chunks twice.
        #expect(bench.receive(.attach, subject: 0, from: 2).chunks(to: 2).isEmpty)
    }

    @Test func anAttachBeyondTheImageSendsNothing() {
        var bench = RelayBench(children: [RelayBench.tree(1, [2])], chunks: 20, isRoot: true)
        _ = bench.start()
        _ = bench.connect(1)
        _ = bench.act {
            $0.linkIsLost(RelayBench.link(1), reason: "reset", now: $1, effects: &$2)
        }
        _ = bench.connect(2)
        #expect(bench.receive(.attach, subject: .max, from: 2).chunks(to: 2).isEmpty)
    }

    @Test func aNewParentHearsEverythingAgain() throws {
        var bench = RelayBench(
            children: [RelayBench.leaf(1)], chunks: 3, isRoot: false, ownRanks: 1)
        _ = bench.start()
        _ = bench.connect(1)
        for _ in 0..<2 { _ = bench.holdNextChunk() }
        _ = bench.receive(.answer, flags: .final, answer: RelayBench.placed(1), from: 1)
        _ = bench.tick(after: LaunchRelay.combineNanoseconds)
        let newParent = LinkID(2)
        let adopted = bench.act { $0.adopt(newParent: newParent, now: $1, effects: &$2) }
        let attach = try #require(adopted.frames(on: newParent).first)
        #expect(attach.header.kind == .attach && attach.header.subject == 2)
        let own = bench.act { $0.answerOwn(RelayBench.placed(0), now: $1, effects: &$2) }
        let answers = try own.answers(on: newParent)
        #expect(answers.map { $0.flags } == [.final])
        #expect(answers.first?.answer.placed.map(\.rank) == [1, 0])
        #expect(try own.frames(on: RelayBench.parent).isEmpty)
    }

    @Test func anUnreachableChildIsReportedAndReplaced() {
        var bench = RelayBench(children: [RelayBench.tree(1, [2, 3])], chunks: 3, isRoot: true)
        _ = bench.start()
        let effects = bench.act {
            $0.linkFailed(
                node: 1, errorNumber: FailureCode.hostUnreachable, reason: "no route", now: $1,
                effects: &$2)
        }
        #expect(effects.connections == [2, 3])
        #expect(bench.relay.answers.failures.map(\.stage) == [.connect])
        #expect(bench.relay.answers.failures.map(\.reason) == ["no route"])
    }

    @Test func ranksThatAnsweredDoNotFailWithTheirNode() {
        var bench = RelayBench(children: [RelayBench.tree(1, [2, 3])], chunks: 1, isRoot: true)
        _ = bench.start()
        _ = bench.connect(1)
        _ = bench.receive(.answer, answer: RelayBench.placed(1, 2), from: 1)
        let effects = bench.act {
            $0.linkIsLost(RelayBench.link(1), reason: "reset", now: $1, effects: &$2)
        }
        #expect(bench.relay.answers.failures.isEmpty)
        // Node 2 has said all it has to say; node 3 has not.
        #expect(effects.connections == [3])
    }

    @Test func aSilentChildIsGivenUp() throws {
        var bench = RelayBench(
            children: [RelayBench.tree(1, [3]), RelayBench.leaf(2)], chunks: 1, isRoot: true)
        _ = bench.start()
        _ = bench.connect(1)
        _ = bench.connect(2)
        var effects: [RelayEffect] = []
        let interval = RelayBench.stall / 4
        for _ in 0..<5 {
            effects += bench.receive(.alive, from: 2)
            effects += bench.tick(after: interval)
        }
        #expect(effects.closed == [RelayBench.link(1)])
        #expect(effects.connections == [3])
        #expect(bench.relay.answers.failures.map(\.rank) == [1])
        #expect(bench.relay.answers.failures.map(\.errorNumber) == [FailureCode.timedOut])
        let signs = try effects.frames(on: RelayBench.link(2)).filter { $0.header.kind == .alive }
        #expect(signs.count == 5)
        #expect(bench.relay.lostChildCount == 1)
    }

    /// A daemon that was stopped itself has heard nobody in that time, and may blame nobody.
    @Test func aLongPauseIsOnesOwnFault() {
        var bench = RelayBench(children: [RelayBench.tree(1, [3])], chunks: 1, isRoot: true)
        _ = bench.start()
        _ = bench.connect(1)
        let after = bench.tick(after: 20 * RelayBench.stall)
        #expect(after.closed.isEmpty && after.connections.isEmpty)
        #expect(bench.relay.lostChildCount == 0)
        // The suspicion is over then: the same silence counts when the clock runs evenly.
        var effects: [RelayEffect] = []
        for _ in 0..<5 { effects += bench.tick(after: RelayBench.stall / 4) }
        #expect(effects.closed == [RelayBench.link(1)])
    }

    @Test func framesOfStrangersChangeNothing() {
        var bench = RelayBench(children: [RelayBench.leaf(1)], chunks: 20, isRoot: true)
        _ = bench.start()
        _ = bench.connect(1)
        #expect(bench.receive(.credit, subject: 20, from: 9).isEmpty)
        #expect(
            bench.receive(.answer, flags: .final, answer: RelayBench.placed(1), from: 9).isEmpty)
        #expect(bench.relay.answers.isEmpty && !bench.relay.isFinished)
    }
}
