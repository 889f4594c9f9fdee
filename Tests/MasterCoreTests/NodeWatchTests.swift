import MasterCore
import Relay
import Testing

@Suite struct NodeWatchTests {
    private func expect(_ links: Set<LinkID>, from watch: inout NodeWatch) {
        let taken = Set(watch.takeLinks())
        #expect(taken == links)
    }

    @Test func theFirstChangeIsToldAtOnceAndLaterOnesTogether() {
        var watch = NodeWatch()
        let interval = NodeWatch.intervalNanoseconds
        let start: UInt64 = 1_000_000_000
        let quiet = watch.isDue(revision: 0, now: start)
        #expect(!quiet && watch.deadlineNanoseconds == .max)
        let first = watch.isDue(revision: 1, now: start)
        #expect(first && watch.deadlineNanoseconds == .max)
        let second = watch.isDue(revision: 2, now: start + 1)
        let third = watch.isDue(revision: 3, now: start + 2)
        #expect(!second && !third)
        #expect(watch.deadlineNanoseconds == start + interval)
        let together = watch.isDue(revision: 3, now: start + interval)
        #expect(together && watch.deadlineNanoseconds == .max)
        let again = watch.isDue(revision: 3, now: start + 2 * interval)
        #expect(!again)
    }

    @Test func aSlaveIsToldOnceUntilItAsks() {
        var watch = NodeWatch()
        watch.hasAsked(LinkID(1))
        expect([], from: &watch)
        watch.begin(LinkID(1))
        watch.begin(LinkID(2))
        expect([LinkID(1), LinkID(2)], from: &watch)
        // A second program on the node watches: nothing new for the master.
        watch.begin(LinkID(1))
        expect([], from: &watch)
        watch.hasAsked(LinkID(2))
        expect([LinkID(2)], from: &watch)
        watch.forget(LinkID(1))
        watch.hasAsked(LinkID(1))
        expect([], from: &watch)
    }
}
