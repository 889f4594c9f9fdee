import MasterCore
import Testing

struct RetirementTests {
    final class Thing {}

    @Test func somethingIsKeptUntilItsTimeIsOver() {
        var retirement = Retirement<Thing>(delayNanoseconds: 20, byteLimit: 100)
        #expect(retirement.deadlineNanoseconds == .max)
        var thing: Thing? = Thing()
        weak let seen = thing
        retirement.add(thing!, byteCount: 60, now: 5)
        thing = nil
        retirement.add(Thing(), byteCount: 30, now: 15)
        #expect(retirement.deadlineNanoseconds == 25)
        retirement.tick(now: 24)
        #expect(seen != nil && retirement.count == 2)
        retirement.tick(now: 25)
        #expect(seen == nil && retirement.count == 1)
        #expect(retirement.deadlineNanoseconds == 35)
        retirement.tick(now: 1000)
        #expect(retirement.count == 0 && retirement.deadlineNanoseconds == .max)
    }

    @Test func whatDoesNotFitIsNotKept() {
        var retirement = Retirement<Thing>(delayNanoseconds: 20, byteLimit: 100)
        retirement.add(Thing(), byteCount: 101, now: 0)
        #expect(retirement.count == 0)
        retirement.add(Thing(), byteCount: 70, now: 0)
        retirement.add(Thing(), byteCount: 31, now: 1)
        #expect(retirement.count == 1)
        retirement.add(Thing(), byteCount: 30, now: 1)
        #expect(retirement.count == 2)
        // What has gone makes room again.
        retirement.tick(now: 20)
        retirement.add(Thing(), byteCount: 70, now: 20)
        #expect(retirement.count == 2)
    }
}
