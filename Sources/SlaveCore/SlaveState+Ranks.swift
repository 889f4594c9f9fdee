import Relay
public import Wire

// What becomes of this node's own ranks, and what the master and the parent hear of it.
extension SlaveState {
    /// - Parameter hasOtherPid: it was to have the pid of its ghost, and has not.
    public mutating func rankIsPlaced(
        launch: UInt64, rank: UInt32, undumpNanoseconds: UInt64, hasOtherPid: Bool = false,
        now: UInt64, effects: inout [SlaveEffect]
    ) {
        guard let known = launches[launch], let index = known.index(ofRank: rank),
            known.rankStates[index] == .spawning
        else { return }
        launches[launch]?.rankStates[index] = .running
        if known.isCondemned {
            effects.append(
                .signal(launch: launch, rank: rank, Self.end))
        } else if known.isDone {
            effects.append(.release(launch: launch))
        }
        var answer = Answer()
        var times = known.times
        times.placed = UInt32(clamping: UInt64(times.complete) + undumpNanoseconds / 1000)
        answer.placed.append(
            Answer.Placed(
                rank: rank, undumpNanoseconds: UInt32(clamping: undumpNanoseconds),
                receivedChunkCount: known.receivedChunkCount, hasOtherPid: hasOtherPid,
                times: times))
        withRelay(launch, effects: &effects) { relay, relayEffects in
            relay.answerOwn(answer, now: now, effects: &relayEffects)
        }
    }

    public mutating func rankFailed(
        launch: UInt64, rank: UInt32, stage: LaunchStage, errorNumber: Int32, reason: String,
        now: UInt64, effects: inout [SlaveEffect]
    ) {
        guard let known = launches[launch], let index = known.index(ofRank: rank),
            known.rankStates[index] == .spawning || known.rankStates[index] == .waiting
        else { return }
        launches[launch]?.rankStates[index] = .failed
        answer(
            launch,
            failing: [
                Answer.Failure(
                    rank: rank, node: node, stage: stage, errorNumber: errorNumber, reason: reason)
            ], now: now, effects: &effects)
        closeIfOver(launch, effects: &effects)
    }

    /// A placed rank's process has ended. The caller learns of it even before it learns that the
    /// rank was placed: the master puts the two in order.
    public mutating func rankExited(_ record: ExitRecord, effects: inout [SlaveEffect]) {
        guard let known = launches[record.launch], let index = known.index(ofRank: record.rank),
            known.rankStates[index] == .running
        else { return }
        launches[record.launch]?.rankStates[index] = .ended
        effects.append(.control(frame: ExitRecord.frame([record])))
        closeIfOver(record.launch, effects: &effects)
    }

    /// A placed rank has stopped, or goes on.
    public func rankStopped(_ record: StopRecord, effects: inout [SlaveEffect]) {
        guard let known = launches[record.launch], let index = known.index(ofRank: record.rank),
            known.rankStates[index] == .running
        else { return }
        effects.append(.control(frame: StopRecord.frame([record])))
    }

    mutating func answer(
        _ launch: UInt64, failing failures: [Answer.Failure], now: UInt64,
        effects: inout [SlaveEffect]
    ) {
        var answer = Answer()
        answer.failures = failures
        withRelay(launch, effects: &effects) { relay, relayEffects in
            relay.answerOwn(answer, now: now, effects: &relayEffects)
        }
    }

    func signal(
        _ launch: UInt64, rank: UInt32, _ signal: RankSignal, effects: inout [SlaveEffect]
    ) {
        guard let known = launches[launch] else { return }
        for (index, own) in known.ownRanks.enumerated()
        where known.rankStates[index] == .running
            && (rank == FrameHeader.allRanks || rank == own.rank)
        {
            effects.append(.signal(launch: launch, rank: own.rank, signal))
        }
    }
}
