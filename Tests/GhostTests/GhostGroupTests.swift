import GhostCore
import Testing

/// What is decided for the ghosts of a job, event by event.
@Suite struct GhostGroupTests {
    typealias Effect = GhostGroup.Effect

    static let (interrupt, kill, user, segment, terminate): (Int32, Int32, Int32, Int32, Int32) =
        (2, 9, 10, 11, 15)
    static let (go, stop, terminalStop, trap): (Int32, Int32, Int32, Int32) = (18, 19, 20, 5)

    /// The effects of one event.
    static func effects(_ body: (inout [Effect]) -> Void) -> [Effect] {
        var effects: [Effect] = []
        body(&effects)
        return effects
    }

    static func adopted(count: Int, isForwarding: Bool = false) -> GhostGroup {
        var group = GhostGroup(count: count)
        let started = [Bool](repeating: true, count: count)
        #expect(
            effects { group.adopt(started: started, isForwarding: isForwarding, effects: &$0) }
                .isEmpty)
        return group
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

    @Test func signalsAreForwardedAndDoNothingElse() {
        var group = Self.adopted(count: 3)
        for signal in [Self.interrupt, Self.user, Self.go, Self.segment] {
            #expect(
                Self.effects { group.ghostGot(signal: signal, ghost: 2, effects: &$0) }
                    == [.resume(ghost: 2, signal: 0), .forward(rank: 2, signal: signal)])
        }
    }

    /// They wait for the ranks, in order; those of a rank that fails go nowhere.
    @Test func earlySignalsWait() {
        var group = GhostGroup(count: 2)
        for signal in [Self.user, Self.interrupt] {
            #expect(
                Self.effects { group.ghostGot(signal: signal, ghost: 0, effects: &$0) }
                    == [.resume(ghost: 0, signal: 0)])
        }
        #expect(
            Self.effects { group.ghostGot(signal: Self.user, ghost: 1, effects: &$0) }
                == [.resume(ghost: 1, signal: 0)])
        let adoption = Self.effects {
            group.adopt(started: [true, false], isForwarding: false, effects: &$0)
        }
        #expect(
            adoption == [
                .forward(rank: 0, signal: Self.user), .forward(rank: 0, signal: Self.interrupt),
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
        #expect(
            Self.effects { group.ghostGot(signal: Self.terminalStop, ghost: 0, effects: &$0) }
                == [.resume(ghost: 0, signal: Self.terminalStop)])
        #expect(
            Self.effects { group.ghostStopped(signal: Self.terminalStop, ghost: 0, effects: &$0) }
                == [.listen(ghost: 0), .forward(rank: 0, signal: Self.stop)])
        // Told once more, it is still the same stop.
        #expect(
            Self.effects { group.ghostStopped(signal: Self.stop, ghost: 0, effects: &$0) }
                == [.listen(ghost: 0)])
        #expect(
            Self.effects { group.ghostStopped(signal: Self.trap, ghost: 0, effects: &$0) }
                == [.resume(ghost: 0, signal: 0)])
        #expect(
            Self.effects { group.ghostGot(signal: Self.go, ghost: 0, effects: &$0) }
                == [.resume(ghost: 0, signal: 0), .forward(rank: 0, signal: Self.go)])
    }

    @Test func aStoppedGhostIsWokenToEnd() {
        var group = Self.adopted(count: 1)
        _ = Self.effects { group.ghostStopped(signal: Self.stop, ghost: 0, effects: &$0) }
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
                Self.effects { group.ghostGot(signal: signal, ghost: 0, effects: &$0) }
                    == [.resume(ghost: 0, signal: passed)])
        }
        #expect(
            Self.effects { group.ghostDied(signal: Self.segment, ghost: 0, effects: &$0) }.isEmpty)
        #expect(group.isOver)
    }

    @Test func aKilledGhostKillsItsRank() {
        var group = Self.adopted(count: 1)
        #expect(
            Self.effects { group.ghostDied(signal: Self.kill, ghost: 0, effects: &$0) }
                == [.forward(rank: 0, signal: Self.kill)])
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

    @Test func theEndOfTheCallerEndsTheJob() {
        var group = Self.adopted(count: 1)
        #expect(
            Self.effects { group.callerIsGone(now: 5, effects: &$0) }
                == [.forwardToAll(signal: Self.kill)])
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
}
