import GhostCore
import Testing
import Wire

/// What is decided for the ghosts of a job, event by event.
@Suite struct GhostGroupTests {
    typealias Effect = GhostGroup.Effect
    typealias Origin = GhostGroup.Origin

    static let (interrupt, kill, user, segment, terminate): (Int32, Int32, Int32, Int32, Int32) =
        (2, 9, 10, 11, 15)
    static let (go, stop, terminalStop, trap): (Int32, Int32, Int32, Int32) = (18, 19, 20, 5)

    /// A signal for a ghost.
    static func got(
        _ signal: Int32, _ ghost: Int, from origin: Origin = .other, _ group: inout GhostGroup
    ) -> [Effect] {
        effects { group.ghostGot(signal: signal, ghost: ghost, from: origin, effects: &$0) }
    }

    static func stopped(_ signal: Int32, _ ghost: Int, _ group: inout GhostGroup) -> [Effect] {
        effects { group.ghostStopped(signal: signal, ghost: ghost, effects: &$0) }
    }

    /// What the slave tells of a rank.
    static func told(
        _ signal: Int32, of rank: Int, sequence: UInt32, _ group: inout GhostGroup
    ) -> [Effect] {
        effects {
            group.rankStopped(rank, signal: signal, sequence: sequence, effects: &$0)
        }
    }

    static func numbered(
        _ signal: Int32, _ sequence: UInt32, _ reach: SignalReach = .process
    ) -> Effect {
        .forward(rank: 0, RankSignal(signal, reach: reach, sequence: sequence))
    }

    /// The effects of one event.
    static func effects(_ body: (inout [Effect]) -> Void) -> [Effect] {
        var effects: [Effect] = []
        body(&effects)
        return effects
    }

    static func adopted(
        count: Int, isForwarding: Bool = false, endsWithCaller: Bool = false
    ) -> GhostGroup {
        var group = GhostGroup(count: count)
        let started = [Bool](repeating: true, count: count)
        #expect(
            effects {
                group.adopt(
                    started: started, isForwarding: isForwarding, endsWithCaller: endsWithCaller,
                    effects: &$0)
            }.isEmpty)
        return group
    }

    /// Everything that is counted is 0 when the group is over.
    @Test func theBookFollowsTheGroup() {
        var group = GhostGroup(count: 3)
        #expect(group.book == GhostBook(livingGhostCount: 3))
        _ = Self.effects {
            group.adopt(
                started: [true, true, false], isForwarding: true, endsWithCaller: false,
                effects: &$0)
        }
        #expect(group.book == GhostBook(livingGhostCount: 2, runningRankCount: 2))
        _ = Self.told(Self.stop, of: 0, sequence: 0, &group)
        #expect(group.book.calledGhostCount == 1)
        for rank in 0...1 {
            _ = Self.effects {
                group.rankEnded(rank, status: 0, isNodeDeath: false, now: 0, effects: &$0)
            }
            #expect(group.book.outputRankCount == rank + 1)
        }
        for rank in 0...1 {
            _ = Self.effects {
                group.outputEnded(rank, stream: 1, effects: &$0)
                group.outputEnded(rank, stream: 2, effects: &$0)
                group.ghostDied(signal: 0, ghost: rank, effects: &$0)
            }
        }
        #expect(group.isOver && group.book == GhostBook())
    }

    @Test func aGhostEndsAsItsRank() {
        for status: Int32 in [0, 42 << 8, 11, 15] {
            var group = Self.adopted(count: 2)
            let end = Self.effects {
                group.rankEnded(1, status: status, isNodeDeath: false, now: 0, effects: &$0)
            }
            #expect(end == [.end(ghost: 1, status: status, isStopped: false)])
            #expect(Self.effects { group.ghostDied(signal: 0, ghost: 1, effects: &$0) }.isEmpty)
            #expect(!group.isOver)
        }
    }

    @Test func theDeathOfANodeKills() {
        var group = Self.adopted(count: 1, isForwarding: true)
        let end = Self.effects {
            group.rankEnded(0, status: 0, isNodeDeath: true, now: 0, effects: &$0)
        }
        #expect(end == [.end(ghost: 0, status: Self.kill, isStopped: false)])
    }

    /// What comes from the terminal is for the whole group of the rank.
    @Test func signalsAreForwardedAndDoNothingElse() {
        var group = Self.adopted(count: 3)
        for (origin, reach) in [(Origin.other, SignalReach.process), (.terminal, .group)] {
            for signal in [Self.interrupt, Self.user, Self.segment] {
                #expect(
                    Self.got(signal, 2, from: origin, &group)
                        == [
                            .resume(ghost: 2, signal: 0),
                            .forward(rank: 2, RankSignal(signal, reach: reach)),
                        ])
            }
        }
    }

    /// They wait for the ranks, in order; those of a rank that fails go nowhere.
    @Test func earlySignalsWait() {
        var group = GhostGroup(count: 2)
        for signal in [Self.user, Self.interrupt] {
            #expect(
                Self.got(signal, 0, &group) == [.resume(ghost: 0, signal: 0)])
        }
        #expect(Self.got(Self.user, 1, &group) == [.resume(ghost: 1, signal: 0)])
        let adoption = Self.effects {
            group.adopt(
                started: [true, false], isForwarding: false, endsWithCaller: false, effects: &$0)
        }
        #expect(
            adoption == [
                .forward(rank: 0, RankSignal(Self.user, reach: .process)),
                .forward(rank: 0, RankSignal(Self.interrupt, reach: .process)),
            ])
        // The ghost of the rank that failed is gone already.
        let end = Self.effects {
            group.rankEnded(0, status: 0, isNodeDeath: false, now: 0, effects: &$0)
        }
        #expect(end.count == 1)
        #expect(Self.effects { group.ghostDied(signal: 0, ghost: 0, effects: &$0) }.isEmpty)
        #expect(group.isOver)
    }

    @Test func theRankStopsWhenItsGhostHasStopped() {
        var group = Self.adopted(count: 1)
        #expect(Self.got(Self.stop, 0, &group) == [.resume(ghost: 0, signal: Self.stop)])
        #expect(
            Self.stopped(Self.stop, 0, &group)
                == [.listen(ghost: 0), Self.numbered(Self.stop, 1)])
        // Told once more, it is still the same stop; and the rank's is the one that is known.
        #expect(Self.stopped(Self.stop, 0, &group) == [.listen(ghost: 0)])
        #expect(Self.told(Self.stop, of: 0, sequence: 1, &group).isEmpty)
        #expect(Self.stopped(Self.trap, 0, &group) == [.resume(ghost: 0, signal: 0)])
        #expect(
            Self.got(Self.go, 0, &group)
                == [.resume(ghost: 0, signal: 0), Self.numbered(Self.go, 2)])
        #expect(Self.told(0, of: 0, sequence: 2, &group).isEmpty)
    }

    /// What the terminal stops a job with goes to the rank, and the ghost stops when that has.
    @Test func theGhostStopsWhenItsRankHasStopped() {
        var group = Self.adopted(count: 1)
        #expect(
            Self.got(Self.terminalStop, 0, from: .terminal, &group)
                == [.resume(ghost: 0, signal: 0), Self.numbered(Self.terminalStop, 1, .group)])
        #expect(Self.told(Self.stop, of: 0, sequence: 1, &group) == [.stop(ghost: 0)])
        let comes = Self.effects { group.ghostIsReadyToStop(ghost: 0, effects: &$0) }
        #expect(comes == [.resume(ghost: 0, signal: Self.stop)])
        // The rank is not told to stop once more.
        #expect(Self.stopped(Self.stop, 0, &group) == [.listen(ghost: 0)])
        // A shell's SIGCONT comes from a process, and is for all whom the stop has reached.
        #expect(Self.stopped(Self.trap, 0, &group) == [.resume(ghost: 0, signal: 0)])
        #expect(
            Self.got(Self.go, 0, &group)
                == [.resume(ghost: 0, signal: 0), Self.numbered(Self.go, 2, .group)])
    }

    @Test func aRankThatGoesOnByItselfTakesItsGhostAlong() {
        var group = Self.adopted(count: 1)
        #expect(Self.told(Self.stop, of: 0, sequence: 0, &group) == [.stop(ghost: 0)])
        _ = Self.effects { group.ghostIsReadyToStop(ghost: 0, effects: &$0) }
        _ = Self.stopped(Self.stop, 0, &group)
        #expect(Self.told(0, of: 0, sequence: 0, &group) == [.go(ghost: 0)])
        // The server's own SIGCONT is not for the rank.
        #expect(Self.stopped(Self.trap, 0, &group) == [.resume(ghost: 0, signal: 0)])
        #expect(
            Self.got(Self.go, 0, from: .server, &group) == [.resume(ghost: 0, signal: 0)])
    }

    /// A rank that goes on while its ghost is about to stop for it.
    @Test func theGhostFollowsTheLastNews() {
        var group = Self.adopted(count: 1)
        _ = Self.told(Self.stop, of: 0, sequence: 0, &group)
        #expect(Self.told(0, of: 0, sequence: 0, &group).isEmpty)
        #expect(
            Self.effects { group.ghostIsReadyToStop(ghost: 0, effects: &$0) }
                == [.resume(ghost: 0, signal: 0)])
        // Later still: the stop has been let through.
        _ = Self.told(Self.stop, of: 0, sequence: 0, &group)
        _ = Self.effects { group.ghostIsReadyToStop(ghost: 0, effects: &$0) }
        #expect(Self.told(0, of: 0, sequence: 0, &group).isEmpty)
        #expect(
            Self.stopped(Self.stop, 0, &group) == [.listen(ghost: 0), .go(ghost: 0)])
    }

    /// News that has crossed an order is dropped, and an order that comes before the ghost does
    /// keeps it from stopping.
    @Test func newsThatCrossesAnOrderIsOld() {
        var group = Self.adopted(count: 1)
        _ = Self.got(Self.stop, 0, &group)
        _ = Self.stopped(Self.stop, 0, &group)
        _ = Self.stopped(Self.trap, 0, &group)
        // The SIGCONT has not come to its turn yet.
        #expect(Self.told(Self.stop, of: 0, sequence: 1, &group) == [.stop(ghost: 0)])
        #expect(Self.got(Self.go, 0, &group).last == Self.numbered(Self.go, 2))
        #expect(
            Self.effects { group.ghostIsReadyToStop(ghost: 0, effects: &$0) }
                == [.resume(ghost: 0, signal: 0)])
        #expect(Self.told(Self.stop, of: 0, sequence: 1, &group).isEmpty)
        #expect(Self.told(0, of: 0, sequence: 2, &group).isEmpty)
    }

    /// SIGCONT and SIGSTOP in a row: the kernel may have shown nothing of the first.
    @Test func aStopBehindAnUnseenContinueIsANewOne() {
        var group = Self.adopted(count: 1)
        for sequence: UInt32 in 1...3 {
            _ = Self.got(Self.stop, 0, &group)
            #expect(
                Self.stopped(Self.stop, 0, &group)
                    == [.listen(ghost: 0), Self.numbered(Self.stop, sequence)])
        }
    }

    @Test func aGhostThatStopsTooLateStillEnds() {
        var group = Self.adopted(count: 1)
        _ = Self.got(Self.stop, 0, &group)
        let end = Self.effects {
            group.rankEnded(0, status: 0, isNodeDeath: false, now: 0, effects: &$0)
        }
        #expect(end == [.end(ghost: 0, status: 0, isStopped: false)])
        #expect(Self.stopped(Self.stop, 0, &group) == [.listen(ghost: 0), .go(ghost: 0)])
    }

    @Test func aStoppedGhostIsWokenToEnd() {
        var group = Self.adopted(count: 1)
        _ = Self.got(Self.stop, 0, &group)
        _ = Self.stopped(Self.stop, 0, &group)
        #expect(
            Self.effects {
                group.rankEnded(
                    0, status: Self.terminate, isNodeDeath: false, now: 0, effects: &$0)
            } == [.end(ghost: 0, status: Self.terminate, isStopped: true)])
    }

    /// A ghost that dies by a signal of its own lets that one pass, and no other.
    @Test func onlyTheOrderedSignalPasses() {
        var group = Self.adopted(count: 1)
        _ = Self.effects {
            group.rankEnded(0, status: Self.segment, isNodeDeath: false, now: 0, effects: &$0)
        }
        for (signal, passed) in [(Self.terminate, 0), (Self.segment, Self.segment)] {
            #expect(
                Self.got(signal, 0, &group) == [.resume(ghost: 0, signal: passed)])
        }
        #expect(
            Self.effects { group.ghostDied(signal: Self.segment, ghost: 0, effects: &$0) }.isEmpty)
        #expect(group.isOver)
    }

    @Test func aKilledGhostKillsItsRank() {
        var group = Self.adopted(count: 1)
        #expect(
            Self.effects { group.ghostDied(signal: Self.kill, ghost: 0, effects: &$0) }
                == [.forward(rank: 0, RankSignal(Self.kill, reach: .process))])
        #expect(!group.isOver)
        #expect(
            Self.effects {
                group.rankEnded(0, status: Self.kill, isNodeDeath: false, now: 0, effects: &$0)
            }.isEmpty)
        #expect(group.isOver)
    }

    /// Output comes before the end of its rank, unless it is held up for too long.
    @Test func theEndWaitsForTheOutput() {
        var group = Self.adopted(count: 2, isForwarding: true)
        for rank in 0..<2 {
            #expect(
                Self.effects {
                    group.rankEnded(rank, status: 0, isNodeDeath: false, now: 1000, effects: &$0)
                }.isEmpty)
        }
        #expect(Self.effects { group.outputEnded(0, stream: 1, effects: &$0) }.isEmpty)
        #expect(
            Self.effects { group.outputEnded(0, stream: 2, effects: &$0) }
                == [.end(ghost: 0, status: 0, isStopped: false)])
        let deadline = 1000 + GhostGroup.outputWaitNanoseconds
        #expect(group.deadlineNanoseconds == deadline)
        #expect(Self.effects { group.tick(now: deadline - 1, effects: &$0) }.isEmpty)
        #expect(
            Self.effects { group.tick(now: deadline, effects: &$0) }
                == [.end(ghost: 1, status: 0, isStopped: false)])
        #expect(group.deadlineNanoseconds == nil)
        for ghost in 0..<2 {
            _ = Self.effects { group.ghostDied(signal: 0, ghost: ghost, effects: &$0) }
        }
        #expect(!group.isOver, "output is still to come")
        for stream: UInt32 in 1...2 {
            _ = Self.effects { group.outputEnded(1, stream: stream, effects: &$0) }
        }
        #expect(group.isOver)
    }

    @Test func withoutADaemonGhostsAreKilled() {
        var group = Self.adopted(count: 3, isForwarding: true)
        _ = Self.effects {
            group.rankEnded(1, status: 3 << 8, isNodeDeath: false, now: 0, effects: &$0)
        }
        #expect(
            Self.effects { group.jobIsLost(effects: &$0) } == [
                .end(ghost: 0, status: Self.kill, isStopped: false),
                .end(ghost: 1, status: 3 << 8, isStopped: false),
                .end(ghost: 2, status: Self.kill, isStopped: false),
            ])
        for ghost in 0..<3 {
            _ = Self.effects { group.ghostDied(signal: Self.kill, ghost: ghost, effects: &$0) }
        }
        #expect(group.isOver)
    }

    /// They are orphans: signals reach their ranks, and they end as those do.
    @Test func ghostsOutliveTheirCaller() {
        var group = Self.adopted(count: 1)
        let end = Self.effects { group.callerIsGone(areClaimed: true, now: 5, effects: &$0) }
        #expect(end.isEmpty)
        #expect(group.deadlineNanoseconds == nil)
        #expect(Self.got(Self.user, 0, &group).count == 2)
        #expect(
            Self.effects {
                group.rankEnded(0, status: 15, isNodeDeath: false, now: 6, effects: &$0)
            } == [.end(ghost: 0, status: 15, isStopped: false)])
        #expect(Self.effects { group.ghostDied(signal: 15, ghost: 0, effects: &$0) }.isEmpty)
        #expect(group.isOver)
    }

    /// A caller that ends before it knows its children leaves none behind.
    @Test func unclaimedGhostsEndWithTheirCaller() {
        var early = GhostGroup(count: 1)
        #expect(
            Self.effects { early.callerIsGone(areClaimed: false, now: 5, effects: &$0) }
                == [.end(ghost: 0, status: Self.kill, isStopped: false)])
        var group = Self.adopted(count: 1)
        #expect(
            Self.effects { group.callerIsGone(areClaimed: false, now: 5, effects: &$0) }
                == [.forwardToAll(RankSignal(Self.kill, reach: .descendants))])
    }

    @Test func theEndOfTheCallerEndsTheJobThatWasMeantTo() {
        var group = Self.adopted(count: 1, endsWithCaller: true)
        #expect(
            Self.effects { group.callerIsGone(areClaimed: true, now: 5, effects: &$0) }
                == [.forwardToAll(RankSignal(Self.kill, reach: .descendants))])
        let deadline = 5 + GhostGroup.closingNanoseconds
        #expect(group.deadlineNanoseconds == deadline)
        #expect(
            Self.effects { group.tick(now: deadline, effects: &$0) }
                == [.end(ghost: 0, status: Self.kill, isStopped: false)])
        #expect(group.isClosed)
        #expect(group.deadlineNanoseconds == nil)
    }

    /// What a daemon says of ranks that do not exist, or have ended, changes nothing.
    @Test func nonsenseIsIgnored() {
        var group = Self.adopted(count: 1)
        for rank in [-1, 1, 1 << 30] {
            #expect(
                Self.effects {
                    group.rankEnded(rank, status: 0, isNodeDeath: false, now: 0, effects: &$0)
                    group.outputEnded(rank, stream: 1, effects: &$0)
                    group.outputEnded(0, stream: 9, effects: &$0)
                }.isEmpty)
        }
        let end: (inout [Effect]) -> Void = {
            group.rankEnded(0, status: 0, isNodeDeath: false, now: 0, effects: &$0)
        }
        #expect(Self.effects(end).count == 1)
        #expect(Self.effects(end).isEmpty)
    }

    // MARK: Home

    /// A ghost that has all it needs is let go, and is nobody's ghost from then on.
    @Test func aGhostBecomesItsProcess() {
        var group = Self.adopted(count: 2)
        #expect([1, 1, 2, -1].map { group.rankArrives($0) } == [true, false, false, false])
        #expect(
            Self.effects { group.ghostHasCome(1, hasAll: true, effects: &$0) }
                == [.letGo(ghost: 1)])
        #expect(!group.isAwaiting(1) && group.book.livingGhostCount == 1)
        // Its rank has ended elsewhere: there is nobody to be told.
        #expect(
            Self.effects {
                group.rankEnded(1, status: 0, isNodeDeath: false, now: 0, effects: &$0)
            }.isEmpty)
        _ = Self.effects {
            group.rankEnded(0, status: 0, isNodeDeath: false, now: 0, effects: &$0)
        }
        #expect(!group.isOver)
        _ = Self.effects { group.ghostDied(signal: 0, ghost: 0, effects: &$0) }
        #expect(group.isOver)
    }

    /// One that lacks something stays; one that is to end ends; one that could not become its
    /// process takes that along.
    @Test func aGhostThatCannotComeStays() {
        var group = Self.adopted(count: 3)
        #expect((0..<3).map { group.rankArrives($0) } == [true, true, true])
        #expect(
            Self.effects { group.ghostHasCome(0, hasAll: false, effects: &$0) }
                == [.stay(ghost: 0), .resume(ghost: 0, signal: 0)])
        var isTaken = group.rankArrives(0)
        #expect(isTaken)
        group.arrivalFailed(0)
        isTaken = group.rankArrives(0)
        #expect(isTaken)
        _ = Self.effects {
            group.rankEnded(1, status: 256, isNodeDeath: false, now: 0, effects: &$0)
        }
        #expect(
            Self.effects { group.ghostHasCome(1, hasAll: true, effects: &$0) }
                == [.resume(ghost: 1, signal: 0)])
        _ = Self.effects { group.ghostHasCome(2, hasAll: true, effects: &$0) }
        #expect(
            Self.effects { group.ghostIsLost(2, effects: &$0) }
                == [.forward(rank: 2, RankSignal(Self.kill, reach: .process))])
        // A ghost that has been killed does not come.
        _ = Self.effects { group.ghostDied(signal: Self.kill, ghost: 0, effects: &$0) }
        isTaken = group.rankArrives(0)
        #expect(!group.isAwaiting(0) && !isTaken)
    }
}
