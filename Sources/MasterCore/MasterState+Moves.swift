public import Relay
public import Wire

// Moves of ranks from node to node. The process that a rank of a node was started as goes on
// elsewhere as the only rank of a launch of its own. To its caller it is the rank that it was:
// nobody on the node that it leaves waits for it, so nothing of it stays there.
//
//   before   caller ── rank r of launch A, on node 1
//   then     caller ── rank r of launch A ══ rank 0 of launch B, on node 2
//
// What it has left behind on node 1, its last output above all, comes first: until that process has
// ended there nothing of the new one is passed on, and it does not move again.

/// Where a rank's process has gone.
struct MovedRank: Sendable {
    /// Its rank now: the only one of another launch.
    var place: RankPlace
    /// The process that it was here has not ended yet.
    var isLeaving: Bool
    /// What the processes that it was have used.
    var usage = ResourceUsage()
}

extension MasterState {
    /// The process number of a rank that asks to be moved; nil: it is not what its node says.
    public func process(of mover: ClientLaunch.Mover, on node: Int32, by caller: Caller) -> Int32? {
        guard let known = launches[mover.launch], Int(mover.rank) < known.ranks.count,
            known.order.user == caller.user, !known.isCondemned, known.adoption == nil,
            known.isAlive(Int(mover.rank), on: node)
        else { return nil }
        return known.ranks[Int(mover.rank)].process
    }

    /// Whether a rank is to wait with its next move until the process that it was has ended.
    public func isArriving(_ mover: ClientLaunch.Mover) -> Bool {
        isArriving(launch: mover.launch)
    }

    /// Nothing of this launch is to be passed on yet. The process may run before its launch is
    /// answered, and who hears it is known only then.
    public func isArriving(launch: UInt64) -> Bool {
        guard let known = launches[launch] else { return false }
        return known.predecessor != nil || known.mover != nil && !known.isReported
    }

    func arrival(of known: MasterLaunch) -> MasterEffect {
        let launch = known.relay.launch
        return .hasArrived(
            launch: launch, listener: listener(to: 0, launch: launch, node: known.ranks[0].node))
    }

    /// A launch by which a rank moves has its answer: the rank is the new process from now on.
    mutating func takePlace(
        of mover: ClientLaunch.Mover, launch: UInt64, now: UInt64,
        effects: inout [MasterEffect]
    ) {
        let left = RankPlace(launch: mover.launch, rank: mover.rank)
        guard mover.leaves, let known = launches[launch], !known.isCondemned,
            known.ranks.count == 1, known.ranks[0].state == .placed,
            let client = known.client, let old = launches[left.launch], old.adoption == nil,
            known.order.user == old.order.user,
            let origin = known.origin, old.isAlive(Int(left.rank), on: origin.node)
        else { return }
        let root = old.standsFor ?? left
        guard let caller = launches[root.launch],
            caller.order.isForwarding || !known.order.isForwarding
        else { return }
        // It runs, whatever its answer's way up the tree takes.
        let placed = Answer.Placed(rank: left.rank, undumpNanoseconds: 0, receivedChunkCount: 0)
        place(placed, launch: left.launch, effects: &effects)
        reportIfComplete(left.launch, now: now, effects: &effects)
        effects.append(.left(client))
        known.standsFor = root
        known.predecessor = left
        known.client = caller.client
        known.origin = caller.origin
        known.handedSequence = caller.sequences[root.rank] ?? 0
        let moved = MovedRank(place: RankPlace(launch: launch, rank: 0), isLeaving: true)
        if root != left { caller.moved[root.rank]?.place = moved.place }
        old.moved[left.rank] = moved
        if let client = caller.client {
            effects.append(.inputHasEnded(client, rank: root.rank))
        }
        if let record = old.stopped[left.rank] { stopMoved(record, effects: &effects) }
        if caller.isCondemned {
            condemn(launch, reason: "the caller is gone", now: now, effects: &effects)
        }
    }

    /// The process that a rank was has ended, or its node has: the one that it is may speak.
    mutating func hasLeft(
        _ place: RankPlace, usage: ResourceUsage, isKilled: Bool, effects: inout [MasterEffect]
    ) {
        guard let old = launches[place.launch], let moved = old.moved[place.rank], moved.isLeaving
        else { return }
        old.moved[place.rank]?.isLeaving = false
        let root = old.standsFor ?? place
        launches[root.launch]?.moved[root.rank]?.usage.add(usage)
        if old.standsFor != nil {
            old.ranks[0].state = .ended
            old.endedCount += 1
            forgetIfOver(place.launch, effects: &effects)
        }
        guard let known = launches[moved.place.launch] else { return }
        known.predecessor = nil
        effects.append(arrival(of: known))
        if isKilled {
            signal(
                moved.place.launch, rank: moved.place.rank,
                RankSignal(Self.killSignal, reach: .process), effects: &effects)
        }
        guard let exit = known.ranks[0].earlyExit else { return }
        end(
            0, launch: moved.place.launch, waitStatus: exit.waitStatus,
            cause: exit.cause, usage: exit.usage, effects: &effects)
        forgetIfOver(moved.place.launch, effects: &effects)
    }

    /// Who leaves has been stopped: that was meant for the one it is now, unless a younger order
    /// has been given since, and must not keep it.
    mutating func stopMoved(_ record: StopRecord, effects: inout [MasterEffect]) {
        guard record.signal != 0, let old = launches[record.launch],
            let moved = old.moved[record.rank], moved.isLeaving
        else { return }
        let (stop, go): (Int32, Int32) = (19, 18)
        let root = shownPlace(of: RankPlace(launch: record.launch, rank: record.rank))
        let sequence = old.sequence(of: record)
        if launches[root.launch]?.sequences[root.rank] ?? 0 == sequence {
            signal(
                moved.place.launch, rank: moved.place.rank,
                RankSignal(stop, reach: .process, sequence: sequence), effects: &effects)
        }
        guard let link = nodes.record(of: old.ranks[Int(record.rank)].node)?.link else { return }
        let frame = RankSignal(go, reach: .process).frame(
            launch: record.launch, rank: record.rank)
        effects.append(.control(link, frame: frame))
    }

    /// The place by which the caller of a rank knows it.
    func shownPlace(of place: RankPlace) -> RankPlace {
        launches[place.launch]?.standsFor ?? place
    }

    // MARK: Streams

    /// Where a rank's process is, and the link to its node; nil: nobody knows of it, or it has
    /// failed to start.
    public func route(to rank: UInt32, launch: UInt64) -> (place: RankPlace, link: LinkID)? {
        guard let known = launches[launch], Int(rank) < known.ranks.count else { return nil }
        if let moved = known.moved[rank] {
            return route(to: moved.place.rank, launch: moved.place.launch)
        }
        return nodes.record(of: known.ranks[Int(rank)].node)?.link.map {
            (RankPlace(launch: launch, rank: rank), $0)
        }
    }

    /// Where the processes of a launch are that run elsewhere than where they were started.
    public func routesOfMoved(launch: UInt64) -> [(place: RankPlace, link: LinkID)] {
        (launches[launch]?.moved.keys.sorted() ?? []).compactMap {
            route(to: $0, launch: launch)
        }
    }

    /// Whether a rank runs elsewhere than where it was started: it has no input there.
    public func hasMoved(_ rank: UInt32, launch: UInt64) -> Bool {
        launches[launch]?.moved[rank] != nil
    }

    /// Who hears the output of a rank that a node sends, and which rank it is to him.
    public func listener(
        to rank: UInt32, launch: UInt64, node: Int32
    ) -> RankListener? {
        guard let known = launches[launch], Int(rank) < known.ranks.count,
            known.ranks[Int(rank)].node == node, !known.isCondemned, let client = known.client
        else { return nil }
        return RankListener(client: client, rank: known.standsFor?.rank ?? rank)
    }

    /// Whether the streams of a rank that leaves its node go on elsewhere.
    public func streamsGoOn(of rank: UInt32, launch: UInt64) -> Bool {
        guard let moved = launches[launch]?.moved[rank],
            let known = launches[moved.place.launch]
        else { return false }
        return known.order.isForwarding && !known.order.flags.contains(.home)
    }

    // MARK: Home

    /// The caller of a rank that moves by this order, if the rank has a ghost on this machine with
    /// the rights that it has itself: the rank's process can go on in that.
    public func callerWithGhost(
        of mover: ClientLaunch.Mover, moving order: LaunchOrder
    ) -> ClientID? {
        let root = shownPlace(of: RankPlace(launch: mover.launch, rank: mover.rank))
        guard let known = launches[root.launch], known.wantsStops, known.origin == nil,
            known.order.user == order.user, known.order.group == order.group,
            known.order.supplementaryGroups == order.supplementaryGroups
        else { return nil }
        return known.client
    }

    /// The launch by which a process of this machine comes home, while what it was has still to
    /// leave its node: there it would find its own pid taken.
    public func homecoming(of process: Int32) -> UInt64? {
        guard let place = placeOfProcess[process], let known = launches[place.launch],
            known.order.flags.contains(.home), isArriving(launch: place.launch)
        else { return nil }
        return place.launch
    }

    /// The launch that a rank is of which arrives by this launch, while its caller does not know
    /// his ranks yet.
    public func unknownLaunch(ofArrival launch: UInt64) -> UInt64? {
        guard let mover = launches[launch]?.mover else { return nil }
        let root = shownPlace(of: RankPlace(launch: mover.launch, rank: mover.rank)).launch
        return launches[root]?.isReported == false ? root : nil
    }

    /// Who is told that a rank has arrived by this launch, and which rank it is to him.
    public func listener(
        toArrivalOf rank: UInt32, launch: UInt64, node: Int32
    ) -> RankListener? {
        guard let known = launches[launch], known.order.flags.contains(.home), rank == 0,
            known.ranks[0].node == node, !known.isReported, let mover = known.mover
        else { return nil }
        let root = shownPlace(of: RankPlace(launch: mover.launch, rank: mover.rank))
        guard let caller = launches[root.launch], let client = caller.client else { return nil }
        return RankListener(client: client, rank: root.rank)
    }
}

extension LaunchOrder {
    var isForwarding: Bool {
        if case .forwarded = descriptors { true } else { false }
    }
}
