public import Relay
public import Wire

// Ranks of launches: how they stop and end, whose they are, and when a launch is forgotten.
extension MasterState {
    mutating func rankExited(
        _ record: ExitRecord, on node: Int32, effects: inout [MasterEffect]
    ) {
        let index = Int(record.rank)
        guard let known = launches[record.launch], index < known.ranks.count,
            known.ranks[index].node == node
        else { return }
        guard known.moved[record.rank] == nil else {
            hasLeft(
                RankPlace(launch: record.launch, rank: record.rank), usage: record.usage,
                isKilled: record.waitStatus & 0x7f == Self.killSignal, effects: &effects)
            return
        }
        keepOrEnd(
            index, launch: record.launch, waitStatus: record.waitStatus, cause: .own,
            usage: record.usage, effects: &effects)
        forgetIfOver(record.launch, effects: &effects)
    }

    /// A rank has stopped, or goes on. Its caller hears of it once it has the rank's number.
    mutating func rankStopped(
        _ record: StopRecord, on node: Int32, effects: inout [MasterEffect]
    ) {
        guard let known = launches[record.launch], Int(record.rank) < known.ranks.count,
            known.ranks[Int(record.rank)].node == node
        else { return }
        guard known.moved[record.rank] == nil else {
            stopMoved(record, effects: &effects)
            return
        }
        known.stopped[record.rank] = record.signal == 0 ? nil : record
        tell(record, of: known, effects: &effects)
    }

    func tell(_ record: StopRecord, of launch: MasterLaunch, effects: inout [MasterEffect]) {
        guard launch.isReported else {
            launch.ranks[Int(record.rank)].earlyStop = record
            return
        }
        var record = record
        var known = launch
        if let place = launch.standsFor {
            guard let caller = launches[place.launch] else { return }
            record = StopRecord(
                launch: place.launch, rank: place.rank, signal: record.signal,
                sequence: launch.sequence(of: record))
            known = caller
        }
        guard known.wantsStops, !known.isCondemned else { return }
        if !known.isReported {
            known.ranks[Int(record.rank)].earlyStop = record
        } else if known.ranks[Int(record.rank)].state == .placed, let client = known.client {
            effects.append(.stopped(client, record))
        }
    }

    /// The caller hears of exits after it has the numbers of all ranks: until then they are kept.
    mutating func keepOrEnd(
        _ index: Int, launch: UInt64, waitStatus: Int32, cause: RankEndCause,
        usage: ResourceUsage = ResourceUsage(), effects: inout [MasterEffect]
    ) {
        guard let known = launches[launch] else { return }
        guard known.isReported, known.predecessor == nil else {
            guard known.ranks[index].earlyExit == nil else { return }
            known.ranks[index].earlyExit = RankExit(
                rank: UInt32(index), process: known.ranks[index].process,
                waitStatus: waitStatus, cause: cause, usage: usage)
            return
        }
        end(
            index, launch: launch, waitStatus: waitStatus, cause: cause, usage: usage,
            effects: &effects)
    }

    mutating func end(
        _ index: Int, launch: UInt64, waitStatus: Int32, cause: RankEndCause,
        usage: ResourceUsage, effects: inout [MasterEffect]
    ) {
        guard let known = launches[launch], known.ranks[index].state == .placed else { return }
        // Its slave tells of an end when the ghost has become the process.
        let cause = known.order.flags.contains(.home) ? RankEndCause.home : cause
        if cause != .own, cause != .home, let entry = known.entry(at: index) {
            lostProcesses.insert(entry, cause: cause)
        }
        known.ranks[index].state = .ended
        known.endedCount += 1
        forgetProcess(of: known, rank: index)
        if let place = known.standsFor {
            var whole = usage
            whole.add(launches[place.launch]?.moved[place.rank]?.usage ?? ResourceUsage())
            keepOrEnd(
                Int(place.rank), launch: place.launch, waitStatus: waitStatus,
                cause: cause, usage: whole, effects: &effects)
            forgetIfOver(place.launch, effects: &effects)
            return
        }
        metrics.countEnded(waitStatus: waitStatus, cause: cause)
        guard !known.isCondemned else { return }
        guard let client = known.client else {
            // Nobody waits for it here.
            let process = "process \(known.ranks[index].process) of user \(known.order.user)"
            effects.append(
                .note(
                    "\(process), node \(known.ranks[index].node), has ended: status \(waitStatus)"))
            return
        }
        effects.append(
            .exited(
                client,
                RankExit(
                    rank: UInt32(index), process: known.ranks[index].process,
                    waitStatus: waitStatus, cause: cause, usage: usage)))
    }

    /// Lets the members of the tree go: they give back what the launch held, and their programs
    /// the priority that was taken from them.
    mutating func finish(_ launch: UInt64, effects: inout [MasterEffect]) {
        guard let known = launches[launch], known.finishNanoseconds != nil else { return }
        known.finishNanoseconds = nil
        known.relay.finish(effects: &relayEffects)
        for effect in relayEffects { effects.append(.relay(launch: launch, effect)) }
        relayEffects.removeAll(keepingCapacity: true)
        effects.append(.closeStorage(launch: launch))
    }

    mutating func forgetIfOver(_ launch: UInt64, effects: inout [MasterEffect]) {
        guard launches[launch]?.isOver == true else { return }
        finish(launch, effects: &effects)
        if let origin = launches[launch]?.adoption { adoptedLaunches[origin] = nil }
        launches[launch] = nil
        metrics.endedLaunchCount += 1
        effects.append(.forget(launch: launch))
    }

    /// The client knows the ranks of its launch, and they outlive it (or no longer do). Before it
    /// has been told of them it cannot know them.
    public func keep(_ launch: UInt64, _ isKept: Bool = true) {
        guard let known = launches[launch], known.isReported else { return }
        known.isKept = isKept
    }

    public func isKept(_ launch: UInt64) -> Bool { launches[launch]?.isKept == true }

    /// The client's connection is gone: its job ends with it, or is the successor's from now on.
    ///
    /// - Parameter successor: who hears of a launch that is kept; nil: nobody.
    public mutating func clientIsGone(
        _ client: ClientID, successor: ClientID? = nil, now: UInt64,
        effects: inout [MasterEffect]
    ) {
        for launch in launches.keys.sorted() where launches[launch]?.client == client {
            if let known = launches[launch], known.isKept {
                leave(known, to: successor, effects: &effects)
            } else {
                condemn(launch, reason: "the caller is gone", now: now, effects: &effects)
            }
        }
    }

    /// The ranks live on. Nobody writes their input any more, and nobody reads their output.
    private func leave(
        _ known: MasterLaunch, to successor: ClientID?, effects: inout [MasterEffect]
    ) {
        let launch = known.relay.launch
        known.client = successor
        known.isKept = false
        guard case .forwarded = known.order.descriptors else { return }
        for link in links(ofLaunch: launch) {
            for kind in [FrameKind.input, .outputClosed] {
                effects.append(
                    .control(
                        link,
                        frame: FrameHeader.frame(
                            FrameHeader(kind, launch: launch, subject: FrameHeader.allRanks))))
            }
        }
    }

    /// Ends a launch's ranks, wherever they are: nobody waits for them any more.
    mutating func condemn(
        _ launch: UInt64, reason: String, now: UInt64, effects: inout [MasterEffect]
    ) {
        guard let known = launches[launch], !known.isCondemned else { return }
        known.isCondemned = true
        for moved in known.moved.values {
            condemn(moved.place.launch, reason: reason, now: now, effects: &effects)
        }
        let nodes = known.ranks.map(\.node) + (known.origin.map { [$0.node] } ?? [])
        var reached = Set<Int32>()
        for node in nodes where reached.insert(node).inserted {
            guard let link = self.nodes.record(of: node)?.link else { continue }
            effects.append(
                .control(link, frame: FrameHeader.frame(FrameHeader(.abort, launch: launch))))
        }
        for (index, rank) in known.ranks.enumerated() where rank.state == .waiting {
            fail(
                Answer.Failure(
                    rank: UInt32(index), node: rank.node, stage: .node,
                    errorNumber: FailureCode.canceled, reason: reason),
                launch: launch, effects: &effects)
        }
        reportIfComplete(launch, now: now, effects: &effects)
        forgetIfOver(launch, effects: &effects)
    }

    /// What every node of a launch was told, its chunk size included.
    public func order(of launch: UInt64) -> LaunchOrder? { launches[launch]?.order }

    /// The control links of the nodes on which ranks of a launch are to run, each once.
    public func links(ofLaunch launch: UInt64) -> [LinkID] {
        guard let known = launches[launch] else { return [] }
        var reached = Set<Int32>()
        return known.ranks.enumerated().compactMap { index, rank in
            if case .failed = rank.state { return nil }
            guard known.moved[UInt32(index)] == nil else { return nil }
            guard reached.insert(rank.node).inserted else { return nil }
            return nodes.record(of: rank.node)?.link
        }
    }
}
