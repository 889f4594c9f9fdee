import Relay
public import RelayTree
public import Wire

// Launches: from a client's request until every rank is placed or has failed.
extension MasterState {
    /// Plans and starts a launch. Nodes that cannot take part fail alone; the rest are started.
    /// - Returns: the launch's number.
    public mutating func launch(
        _ request: LaunchRequest, now: UInt64, effects: inout [MasterEffect]
    ) -> UInt64 {
        precondition(!request.nodes.isEmpty && request.nodes.count <= Self.rankLimit)
        precondition(
            request.processes.isEmpty || request.processes.count == request.nodes.count)
        let launch = takeLaunchNumber()
        metrics.begunLaunchCount += 1
        metrics.imageByteCount += request.order.imageByteCount
        var ranks: [MasterLaunch.Rank] = []
        ranks.reserveCapacity(request.nodes.count)
        var failures: [Answer.Failure] = []
        var entries: [RelaySubtree.Entry] = []
        var entryOfNode: [Int32: Int] = [:]
        for (index, node) in request.nodes.enumerated() {
            let process =
                request.processes.isEmpty ? takeProcessNumber() : request.processes[index]
            ranks.append(MasterLaunch.Rank(node: node, process: process))
            if isTaken(process, by: request) {
                failures.append(.takenProcess(rank: UInt32(index), node: node))
                continue
            }
            giveUpAdoptedNumber(process, effects: &effects)
            placeOfProcess[process] = RankPlace(launch: launch, rank: UInt32(index))
            lostProcesses.forget(process)
            if let failure = refusal(of: node, rank: UInt32(index), caller: request.caller) {
                failures.append(failure)
                continue
            }
            let rank = RelaySubtree.Rank(rank: UInt32(index), process: ranks[index].process)
            if let entry = entryOfNode[node] {
                entries[entry].ranks.append(rank)
            } else {
                entryOfNode[node] = entries.count
                let address = nodes.record(of: node)!.address
                entries.append(
                    RelaySubtree.Entry(node: node, address: address, ranks: [rank]))
            }
        }
        var order = request.order
        let choice = plan(entries: entries, request: request)
        order.chunkByteCount = choice.chunkByteCount
        if choice.isCrowded { order.flags.insert(.crowded) }
        if request.wantsProgress { order.flags.insert(.watched) }
        let origin = request.origin
        if let node = origin?.node, let record = nodes.record(of: node) {
            order.descriptors.nameCaller(record.address)
        }
        let subtrees = Self.subtrees(
            entries: entries, fanOut: choice.fanOut, root: origin.flatMap { root(for: $0) })
        let frame = LaunchFrame.encode(order)
        let relay = LaunchRelay(
            launch: launch, node: -1, order: order, orderBytes: frame, parent: nil,
            subtrees: subtrees, ownRankCount: 0,
            chunksHeld: origin == nil ? order.chunkCount : 0, holder: origin?.client, now: now)
        launches[launch] = MasterLaunch(
            request, order: order, fanOut: choice.fanOut, ranks: ranks, relay: relay, now: now)
        if request.wantsTimes {
            launches[launch]?.times = Array(repeating: StageTimes(), count: request.nodes.count)
        }
        for failure in failures { fail(failure, launch: launch, effects: &effects) }
        let rootLink = origin.flatMap { nodes.record(of: $0.node)?.link }
        withRelay(launch, now: now, effects: &effects) { relay, relayEffects in
            if let origin, let link = rootLink {
                relay.linkIsReady(
                    node: origin.node, link: link, now: now, effects: &relayEffects)
            } else {
                relay.start(now: now, effects: &relayEffects)
            }
        }
        return launch
    }

    /// The place in the tree of a node that is its root: above all others, with or without ranks of
    /// its own.
    private func root(for origin: LaunchOrigin) -> RelaySubtree.Entry? {
        nodes.record(of: origin.node).map {
            RelaySubtree.Entry(node: $0.node, address: $0.address, ranks: [])
        }
    }

    /// Whether another process of the space has this number, which a node has given to a ghost.
    /// What moves keeps its own; on the front end the kernel sees to it that no two are alike.
    private func isTaken(_ process: Int32, by request: LaunchRequest) -> Bool {
        guard let origin = request.origin, origin.node != NodeTable.frontEndNumber,
            !request.order.flags.contains(.anyPid)
        else { return false }
        return placeOfProcess[process] != nil || request.refusedProcesses.contains(process)
    }

    private func refusal(of node: Int32, rank: UInt32, caller: Caller) -> Answer.Failure? {
        func failure(_ errorNumber: Int32, _ reason: String) -> Answer.Failure {
            Answer.Failure(
                rank: rank, node: node, stage: .plan, errorNumber: errorNumber, reason: reason)
        }
        guard let record = nodes.record(of: node) else {
            return failure(FailureCode.invalidNode, "there is no such node")
        }
        guard record.isReachable else {
            return failure(
                FailureCode.nodeDown,
                node == NodeTable.frontEndNumber
                    ? "the front end has no slave: bpslave --front-end"
                    : "the node is \(record.shownState)")
        }
        guard record.permits(caller) else {
            return failure(FailureCode.notPermitted, "user \(caller.user) may not use the node")
        }
        return nil
    }

    private func plan(
        entries: [RelaySubtree.Entry], request: LaunchRequest
    ) -> (fanOut: Int, chunkByteCount: UInt32, isCrowded: Bool) {
        guard !entries.isEmpty else { return (1, ChunkSize.granularity, false) }
        let costs = costs(of: entries.lazy.compactMap { nodes.record(of: $0.node) })
        let unpackedByteCount = request.order.unpackedByteCount
        let choice = Planner.plan(
            nodeCount: entries.count, imageByteCount: request.order.imageByteCount,
            unpackedByteCount: unpackedByteCount > 0 ? unpackedByteCount : nil,
            costs: costs)
        return (
            request.fanOut > 0 ? request.fanOut : choice.fanOut,
            request.chunkByteCount > 0 ? request.chunkByteCount : choice.chunkByteCount,
            costs.nodesPerHost > costs.coresPerHost
        )
    }

    /// What sending to these nodes costs: over loopback or the network, and with how many of them
    /// on the busiest machine.
    private func costs(of records: some Sequence<NodeRecord>) -> CostModel {
        var count = 0
        var isOneHost = true
        var countOfMachine: [Hello.Machine: Int] = [:]
        for record in records {
            count += 1
            isOneHost = isOneHost && record.address.isLoopback
            if record.machine.identity != 0 { countOfMachine[record.machine, default: 0] += 1 }
        }
        guard !isOneHost else {
            return .loopback(nodesPerHost: count, coresPerHost: configuration.coreCount)
        }
        var costs = configuration.networkCosts
        let busiest = countOfMachine.max { left, right in
            left.value * Int(max(1, right.key.coreCount))
                < right.value * Int(max(1, left.key.coreCount))
        }
        if let busiest {
            costs.nodesPerHost = busiest.value
            costs.coresPerHost = Int(max(1, busiest.key.coreCount))
        }
        return costs
    }

    /// How many nodes are up, and what a launch on all of them would cost with.
    public var networkOfNodesUp: (nodeCount: Int, costs: CostModel) {
        let up = nodes.records.filter(\.isReachable)
        return (up.count, costs(of: up))
    }

    /// Cuts the nodes into the subtrees of the root's children; or, where another node than the
    /// master is the root, into the one tree below that node.
    private static func subtrees(
        entries: [RelaySubtree.Entry], fanOut: Int, root: RelaySubtree.Entry?
    ) -> [RelaySubtree] {
        guard !entries.isEmpty else { return [] }
        if let root { return [tree(entries: entries, fanOut: fanOut, below: root)] }
        let plan = RelayPlan(nodeCount: entries.count, fanOut: fanOut)
        var subtrees: [RelaySubtree] = []
        var start = 0
        while start < entries.count {
            let end = plan.subtreeEnd(of: start)
            subtrees.append(
                RelaySubtree(
                    preorder: Array(entries[start..<end]),
                    subtreeEnds: (start..<end).map { plan.subtreeEnd(of: $0) - start }))
            start = end
        }
        return subtrees
    }

    private static func tree(
        entries: [RelaySubtree.Entry], fanOut: Int, below root: RelaySubtree.Entry
    ) -> RelaySubtree {
        var root = root
        var others = entries
        if let own = others.firstIndex(where: { $0.node == root.node }) {
            root = others.remove(at: own)
        }
        var ends = [others.count + 1]
        if !others.isEmpty {
            let plan = RelayPlan(nodeCount: others.count, fanOut: fanOut)
            ends += others.indices.map { plan.subtreeEnd(of: $0) + 1 }
        }
        return RelaySubtree(preorder: [root] + others, subtreeEnds: ends)
    }

    // MARK: Programs on nodes

    /// Why a slave may not speak for this caller; nil: it may. A slave speaks only for users who
    /// have processes on its node, with groups that they have there: a node that is taken over can
    /// start nothing elsewhere for anybody else. What it has brought along itself does not count.
    public func refusal(of caller: Caller, on node: Int32) -> String? {
        for known in launches.values where known.order.user == caller.user {
            guard !known.isCondemned, known.adoption == nil,
                known.ranks.indices.contains(where: { known.isAlive($0, on: node) })
            else { continue }
            let groups = Set(known.order.supplementaryGroups + [known.order.group])
            if groups.isSuperset(of: caller.supplementaryGroups + [caller.group]) { return nil }
        }
        return "user \(caller.user) has no process on node \(node) with these groups"
    }

    // MARK: Answers

    mutating func withRelay(
        _ launch: UInt64, now: UInt64, effects: inout [MasterEffect],
        _ body: (inout LaunchRelay, inout [RelayEffect]) -> Void
    ) {
        guard let known = launches[launch], !known.isReported else { return }
        body(&known.relay, &relayEffects)
        for effect in relayEffects {
            if case .forward(_, let chunk) = effect {
                metrics.relayedByteCount += UInt64(known.order.byteRange(ofChunk: chunk).count)
            }
            effects.append(.relay(launch: launch, effect))
        }
        relayEffects.removeAll(keepingCapacity: true)
        takeAnswers(launch, now: now, effects: &effects)
    }

    /// Moves what is new in the relay's answers into the table of ranks.
    private mutating func takeAnswers(
        _ launch: UInt64, now: UInt64, effects: inout [MasterEffect]
    ) {
        guard let known = launches[launch] else { return }
        known.reachedCount = max(known.reachedCount, known.relay.reachedCount)
        metrics.healedRelayCount += UInt64(known.relay.lostChildCount - known.lossesRead)
        known.lossesRead = known.relay.lostChildCount
        let answers = known.relay.answers
        let (placedRead, failuresRead) = (known.placedRead, known.failuresRead)
        known.placedRead = answers.placed.count
        known.failuresRead = answers.failures.count
        for entry in answers.placed[placedRead...] {
            place(entry, launch: launch, effects: &effects)
        }
        for failure in answers.failures[failuresRead...] {
            fail(failure, launch: launch, effects: &effects)
        }
        reportProgress(launch, now: now, effects: &effects)
        reportIfComplete(launch, now: now, effects: &effects)
    }

    mutating func place(
        _ entry: Answer.Placed, launch: UInt64, effects: inout [MasterEffect]
    ) {
        let index = Int(entry.rank)
        guard let known = launches[launch], index < known.ranks.count else { return }
        switch known.ranks[index].state {
        case .waiting: break
        case .placed, .ended: return
        case .failed:
            // The caller was told otherwise, so the process must not live.
            signal(
                launch, rank: entry.rank, RankSignal(Self.killSignal, reach: .descendants),
                effects: &effects)
            return
        }
        known.ranks[index].state = .placed
        known.placedCount += 1
        metrics.placedRankCount += 1
        known.outstandingCount -= 1
        known.undumpNanoseconds.append(entry.undumpNanoseconds)
        if !known.times.isEmpty { known.times[index] = entry.times }
        known.receivedChunkCountMaximum = max(
            known.receivedChunkCountMaximum, entry.receivedChunkCount)
        if entry.hasOtherPid {
            known.otherPidCount += 1
            known.firstOtherPid = min(known.firstOtherPid, entry.rank)
        }
        deliverKeptSignals(of: known, rank: entry.rank, effects: &effects)
    }

    mutating func fail(
        _ failure: Answer.Failure, launch: UInt64, effects: inout [MasterEffect]
    ) {
        let index = Int(failure.rank)
        guard let known = launches[launch], index < known.ranks.count,
            known.ranks[index].state == .waiting
        else { return }
        known.ranks[index].state = .failed(failure.errorNumber)
        forgetProcess(of: known, rank: index)
        known.failedCount += 1
        metrics.countFailed(failure)
        known.outstandingCount -= 1
        if !known.isCondemned, let client = known.client {
            effects.append(.failed(client, failure))
        }
    }

    /// The master itself lost a node: what it has not answered has failed, what runs there has
    /// died, or has gone with it.
    mutating func nodeIsDown(
        _ node: Int32, launch: UInt64, reason: String, cause: RankEndCause, now: UInt64,
        effects: inout [MasterEffect]
    ) {
        guard let known = launches[launch] else { return }
        for (index, rank) in known.ranks.enumerated() where rank.node == node {
            guard known.moved[UInt32(index)] == nil else {
                hasLeft(
                    RankPlace(launch: launch, rank: UInt32(index)), usage: ResourceUsage(),
                    isKilled: false, effects: &effects)
                continue
            }
            switch rank.state {
            case .waiting:
                fail(
                    Answer.Failure(
                        rank: UInt32(index), node: node, stage: .node,
                        errorNumber: FailureCode.nodeDown, reason: reason), launch: launch,
                    effects: &effects)
            case .placed:
                keepOrEnd(
                    index, launch: launch, waitStatus: Self.killSignal, cause: cause,
                    effects: &effects)
            case .failed, .ended: break
            }
        }
        reportIfComplete(launch, now: now, effects: &effects)
        forgetIfOver(launch, effects: &effects)
    }

    private mutating func reportProgress(
        _ launch: UInt64, now: UInt64, effects: inout [MasterEffect]
    ) {
        guard let known = launches[launch], known.wantsProgress, !known.isCondemned,
            let client = known.client,
            now >= known.progressNanoseconds + Self.progressIntervalNanoseconds
        else { return }
        known.progressNanoseconds = now
        effects.append(.progress(client, known.progress))
    }

    mutating func reportIfComplete(
        _ launch: UInt64, now: UInt64, effects: inout [MasterEffect]
    ) {
        guard let known = launches[launch], !known.isReported, known.outstandingCount == 0
        else { return }
        known.isReported = true
        metrics.countAnswered(known, elapsedNanoseconds: now - known.startedNanoseconds)
        known.finishNanoseconds = now + Self.callersStartNanoseconds
        if known.isCondemned {
            finish(launch, effects: &effects)
        } else if let client = known.client {
            var report = known.report
            report.elapsedNanoseconds = now - known.startedNanoseconds
            effects.append(.launched(client, report))
            if let mover = known.mover {
                takePlace(of: mover, launch: launch, now: now, effects: &effects)
                if known.predecessor == nil { effects.append(arrival(of: known)) }
            }
            for record in known.ranks.compactMap(\.earlyStop) {
                tell(record, of: known, effects: &effects)
            }
        }
        for index in known.ranks.indices where known.predecessor == nil {
            guard let exit = known.ranks[index].earlyExit else { continue }
            end(
                index, launch: launch, waitStatus: exit.waitStatus,
                cause: exit.cause, usage: exit.usage, effects: &effects)
        }
        forgetIfOver(launch, effects: &effects)
    }
}

extension Answer.Failure {
    /// As a node answers that has a process of this number: the caller's side takes another.
    fileprivate static func takenProcess(rank: UInt32, node: Int32) -> Answer.Failure {
        Answer.Failure(
            rank: rank, node: node, stage: .spawn, errorNumber: FailureCode.alreadyExists,
            reason: "the pid that its ghost has is taken")
    }
}
