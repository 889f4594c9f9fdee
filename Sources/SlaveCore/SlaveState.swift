public import Relay
public import Wire

/// Everything a slave decides: pure, driven by events, answering with effects. The daemon and the
/// simulated cluster run the same code.
public struct SlaveState: RelayState, Sendable {
    public let node: Int32
    var launches: [UInt64: SlaveLaunch] = [:]
    /// Launches that are over here, or were aborted before they came; latest last.
    private var ended: [UInt64] = []
    /// Scratch space that is kept, so that a chunk's passage allocates nothing.
    private var relayEffects: [RelayEffect] = []
    /// Launches a slave takes part in at once; more are refused before anything is allocated.
    public static let launchLimit = 1024
    /// What ends a rank, and all that it has started.
    static let end = RankSignal(9, reach: .descendants)

    public init(node: Int32) { self.node = node }

    public var launchCount: Int { launches.count }

    /// Number of ranks that are starting or running.
    public var livingRankCount: Int {
        launches.values.reduce(0) { sum, launch in
            sum + launch.rankStates.count { $0 == .spawning || $0 == .running }
        }
    }

    private mutating func remember(ended launch: UInt64) {
        if ended.count == Self.launchLimit { ended.removeFirst() }
        ended.append(launch)
    }

    // MARK: Frames

    /// A launch frame from a parent, or from the master for a launch whose image is here.
    ///
    /// - Parameter holder: the program of this node that has brought the image.
    public mutating func receiveLaunch(
        _ launch: UInt64, frame: LaunchFrame, isAdoption: Bool, holder: UInt32? = nil,
        from link: LinkID, now: UInt64, effects: inout [SlaveEffect]
    ) {
        if launches[launch] != nil {
            // A first launch frame that was overtaken by an adoption is from a parent that has lost
            // its place; an adoption learns what is here already.
            guard isAdoption else { return }
            withRelay(launch, effects: &effects) { relay, relayEffects in
                relay.adopt(newParent: link, now: now, effects: &relayEffects)
            }
            return
        }
        // A relay that was stopped for a while may bring a launch that has long ended, and the news
        // of an end can overtake the launch, since it comes by another link.
        guard !ended.contains(launch) else { return }
        let order: LaunchOrder
        do {
            order = try frame.decodeOrder()
        } catch {
            effects.append(.refuse(link, reason: "launch \(launch): \(error)"))
            return
        }
        let own = frame.subtree.root
        guard own.node == node else {
            effects.append(
                .refuse(link, reason: "launch \(launch) is for node \(own.node), this is \(node)"))
            return
        }
        guard launches.count < Self.launchLimit else {
            effects.append(.refuse(link, reason: "\(launches.count) launches are under way"))
            return
        }
        let relay = LaunchRelay(
            launch: launch, node: node, order: order, orderBytes: frame.orderBytes, parent: link,
            subtrees: frame.subtree.children, ownRankCount: own.ranks.count,
            chunksHeld: holder == nil ? 0 : order.chunkCount,
            elapsedMicroseconds: frame.elapsedMicroseconds, now: now)
        let reached = frame.elapsedMicroseconds
        launches[launch] = SlaveLaunch(
            order: order, ownRanks: own.ranks, relay: relay,
            rankStates: Array(repeating: .waiting, count: own.ranks.count),
            times: StageTimes(reached: reached, header: reached, complete: reached))
        if isAdoption {
            withRelay(launch, effects: &effects) { relay, relayEffects in
                relay.adopt(newParent: link, now: now, effects: &relayEffects)
            }
        }
        if let holder {
            effects.append(.openImage(launch: launch, order: order, client: holder))
        } else {
            effects.append(.openStorage(launch: launch, order: order))
        }
    }

    /// A frame on a relay link, other than a launch or a chunk.
    public mutating func receive(
        _ header: FrameHeader, body: [UInt8], from link: LinkID, now: UInt64,
        effects: inout [SlaveEffect]
    ) {
        switch header.kind {
        case .done:
            guard launches[header.launch]?.relay.parent == link else { return }
            finish(header.launch, effects: &effects)
        case .answer:
            do {
                let answer = try Answer(decoding: body)
                relayFrame(header, answer: answer, from: link, now: now, effects: &effects)
            } catch {
                effects.append(.refuse(link, reason: "answer: \(error)"))
            }
        case .credit, .attach, .alive:
            relayFrame(header, answer: nil, from: link, now: now, effects: &effects)
        default:
            effects.append(.refuse(link, reason: "a \(header.kind) frame on a relay link"))
        }
    }

    private mutating func relayFrame(
        _ header: FrameHeader, answer: Answer?, from link: LinkID, now: UInt64,
        effects: inout [SlaveEffect]
    ) {
        withRelay(header.launch, effects: &effects) { relay, relayEffects in
            relay.receive(header, answer: answer, from: link, now: now, effects: &relayEffects)
        }
    }

    /// A frame on the control link that concerns a launch. Of a launch whose root this node is, the
    /// master is the parent.
    public mutating func receiveControl(
        _ header: FrameHeader, body: [UInt8], from link: LinkID, now: UInt64,
        effects: inout [SlaveEffect]
    ) throws(WireError) {
        var reader = WireReader(body)
        switch header.kind {
        case .launch:
            guard header.flags.contains(.rooted), !header.flags.contains(.adoption) else {
                throw .invalidValue(field: "flags", value: UInt64(header.flags.rawValue))
            }
            receiveLaunch(
                header.launch, frame: try LaunchFrame(decoding: body), isAdoption: false,
                holder: header.subject, from: link, now: now, effects: &effects)
        case .done, .alive: receive(header, body: body, from: link, now: now, effects: &effects)
        case .signal:
            signal(
                header.launch, rank: header.subject, try RankSignal(header, decoding: body),
                effects: &effects)
        case .abort:
            if launches[header.launch] == nil { remember(ended: header.launch) }
            condemn(header.launch, effects: &effects)
        case .verdict:
            let raw = try reader.read(UInt8.self, "verdict")
            try reader.finish()
            guard let verdict = Verdict(rawValue: raw) else {
                throw .invalidValue(field: "verdict", value: UInt64(raw))
            }
            switch verdict {
            case .keep: finish(header.launch, effects: &effects)
            case .end: condemn(header.launch, effects: &effects)
            case .wait: break
            }
        default:
            throw .unknownKind(header.kind.rawValue)
        }
    }

    // MARK: Image

    public mutating func storageIsReady(
        launch: UInt64, now: UInt64, effects: inout [SlaveEffect]
    ) {
        guard launches[launch] != nil else {
            effects.append(.closeStorage(launch: launch, childrenHaveAll: true))
            return
        }
        launches[launch]?.isStorageOpen = true
        withRelay(launch, effects: &effects) { relay, relayEffects in
            relay.start(now: now, effects: &relayEffects)
        }
        if let known = launches[launch], known.relay.chunksHeld == known.relay.chunkCount {
            spawnRanks(ofComplete: launch, effects: &effects)
        }
    }

    /// No room for the image here: the parent takes over this node's children.
    public mutating func storageFailed(
        launch: UInt64, stage: LaunchStage, errorNumber: Int32, reason: String, now: UInt64,
        effects: inout [SlaveEffect]
    ) {
        withdraw(
            launch, stage: stage, errorNumber: errorNumber, reason: reason, now: now,
            effects: &effects)
    }

    /// Whether chunk `chunk` coming on `link` is the one wanted next. A stale one (from a parent
    /// that was replaced) is read and dropped.
    public func wants(chunk: UInt32, launch: UInt64, from link: LinkID) -> Bool {
        guard let known = launches[launch], known.isStorageOpen else { return false }
        return known.relay.parent == link && known.relay.chunksHeld == chunk
            && chunk < known.relay.chunkCount
    }

    public func order(of launch: UInt64) -> LaunchOrder? { launches[launch]?.order }

    /// Ranks of a launch on this node.
    public func rankCount(ofLaunch launch: UInt64) -> Int { launches[launch]?.ownRanks.count ?? 0 }

    /// Whether ranks of this launch may still be on their way, here or elsewhere.
    public func isUnderWay(_ launch: UInt64) -> Bool { launches[launch]?.isDone == false }

    /// Whether the image will be run here, as far as is known.
    public func expectsRanks(of launch: UInt64) -> Bool {
        launches[launch]?.rankStates.contains(.waiting) == true
    }

    public mutating func chunkBegins(launch: UInt64) {
        launches[launch]?.receivedChunkCount += 1
    }

    /// The image is not for this node (CPU, version, memory; what it unpacks to): it goes on
    /// relaying. Comes before the last chunk is stored.
    public mutating func imageIsRefused(
        launch: UInt64, stage: LaunchStage, errorNumber: Int32, reason: String, now: UInt64,
        effects: inout [SlaveEffect]
    ) {
        guard var known = launches[launch], !known.isRefused else { return }
        known.isRefused = true
        known.rankStates = known.rankStates.map { _ in .failed }
        launches[launch] = known
        answer(
            launch,
            failing: known.ownRanks.map {
                Answer.Failure(
                    rank: $0.rank, node: node, stage: stage, errorNumber: errorNumber,
                    reason: reason)
            }, now: now, effects: &effects)
    }

    /// A chunk lies in the image file and its checksums are right.
    public mutating func chunkIsStored(
        launch: UInt64, chunk: UInt32, now: UInt64, effects: inout [SlaveEffect]
    ) {
        // A parent that was replaced in the middle of a chunk may bring the rest of it after the
        // new parent has brought the whole.
        guard let before = launches[launch], before.relay.chunksHeld == chunk else { return }
        let isComplete = chunk + 1 == before.relay.chunkCount
        noteArrival(of: chunk, isLast: isComplete, launch: launch, now: now)
        // One restore is done before the children's chunk has left the sockets' buffers; many would
        // keep them waiting.
        let comesFirst = before.ownRanks.count == 1
        if isComplete, comesFirst { spawnRanks(ofComplete: launch, effects: &effects) }
        withRelay(launch, effects: &effects) { relay, relayEffects in
            relay.holds(chunk: chunk, now: now, effects: &relayEffects)
        }
        if isComplete, !comesFirst { spawnRanks(ofComplete: launch, effects: &effects) }
    }

    private mutating func noteArrival(
        of chunk: UInt32, isLast: Bool, launch: UInt64, now: UInt64
    ) {
        guard chunk == 0 || isLast, let time = launches[launch]?.relay.elapsedMicroseconds(now: now)
        else { return }
        if chunk == 0 { launches[launch]?.times.header = time }
        if isLast { launches[launch]?.times.complete = time }
    }

    /// Starts this node's own ranks: the whole image is here.
    private mutating func spawnRanks(
        ofComplete launch: UInt64, effects: inout [SlaveEffect]
    ) {
        guard let known = launches[launch] else { return }
        for (index, rank) in known.ownRanks.enumerated()
        where known.rankStates[index] == .waiting {
            if known.isCondemned {
                launches[launch]?.rankStates[index] = .failed
                continue
            }
            launches[launch]?.rankStates[index] = .spawning
            effects.append(.spawn(launch: launch, rank: rank))
        }
    }

    /// A chunk arrived damaged: what is held is not complete, so this node cannot pass it on
    /// either.
    public mutating func chunkIsRejected(
        launch: UInt64, errorNumber: Int32, reason: String, now: UInt64,
        effects: inout [SlaveEffect]
    ) {
        withdraw(
            launch, stage: .receive, errorNumber: errorNumber, reason: reason, now: now,
            effects: &effects)
    }

    private mutating func withdraw(
        _ launch: UInt64, stage: LaunchStage, errorNumber: Int32, reason: String, now: UInt64,
        effects: inout [SlaveEffect]
    ) {
        guard var known = launches[launch] else { return }
        var answer = Answer()
        for (index, rank) in known.ownRanks.enumerated() where known.rankStates[index] == .waiting {
            known.rankStates[index] = .failed
            answer.failures.append(
                Answer.Failure(
                    rank: rank.rank, node: node, stage: stage, errorNumber: errorNumber,
                    reason: reason))
        }
        launches[launch] = known
        withRelay(launch, effects: &effects) { relay, relayEffects in
            relay.withdraw(answer, now: now, effects: &relayEffects)
        }
        // The launch stays known: a new parent may ask, and must hear the same.
        closeStorageIfIdle(launch, effects: &effects)
    }

    // MARK: Links and time

    public mutating func linkIsReady(
        launch: UInt64, node: Int32, link: LinkID, now: UInt64, effects: inout [SlaveEffect]
    ) {
        withRelay(launch, effects: &effects) { relay, relayEffects in
            relay.linkIsReady(node: node, link: link, now: now, effects: &relayEffects)
        }
    }

    public mutating func linkFailed(
        launch: UInt64, node: Int32, errorNumber: Int32, reason: String, now: UInt64,
        effects: inout [SlaveEffect]
    ) {
        withRelay(launch, effects: &effects) { relay, relayEffects in
            relay.linkFailed(
                node: node, errorNumber: errorNumber, reason: reason, now: now,
                effects: &relayEffects)
        }
    }

    public mutating func linkIsLost(
        _ link: LinkID, reason: String, now: UInt64, effects: inout [SlaveEffect]
    ) {
        for launch in launches.keys.sorted() where launches[launch]?.isDone == false {
            withRelay(launch, effects: &effects) { relay, relayEffects in
                relay.linkIsLost(link, reason: reason, now: now, effects: &relayEffects)
            }
        }
    }

    public mutating func heard(from link: LinkID, launch: UInt64, now: UInt64) {
        launches[launch]?.relay.heard(from: link, now: now)
    }

    /// The master is gone: nothing here outlives it.
    public mutating func controlIsLost(effects: inout [SlaveEffect]) {
        for launch in launches.keys.sorted() { condemn(launch, effects: &effects) }
    }

    /// The earliest time at which `tick` has something to do, or nil while nothing is under way.
    public var deadlineNanoseconds: UInt64? {
        launches.values.lazy.filter { !$0.isDone }.map { $0.relay.deadlineNanoseconds }.min()
    }

    public mutating func tick(now: UInt64, effects: inout [SlaveEffect]) {
        for launch in launches.keys.sorted() where launches[launch]?.isDone == false {
            withRelay(launch, effects: &effects) { relay, relayEffects in
                relay.tick(now: now, effects: &relayEffects)
            }
            askAboutOrphan(launch, now: now, effects: &effects)
        }
    }

    /// A node that hears nothing of a launch any more asks the master what became of it.
    private mutating func askAboutOrphan(
        _ launch: UInt64, now: UInt64, effects: inout [SlaveEffect]
    ) {
        guard let known = launches[launch], !known.isDone else { return }
        let patience = 2 * known.relay.stallLimitNanoseconds
        guard known.relay.orphanedNanoseconds(now: now) > patience,
            now - min(now, known.queriedNanoseconds) > patience
        else { return }
        launches[launch]?.queriedNanoseconds = now
        effects.append(
            .control(frame: FrameHeader.frame(FrameHeader(.query, launch: launch))))
    }

    // MARK: Ends

    private mutating func finish(_ launch: UInt64, effects: inout [SlaveEffect]) {
        guard launches[launch]?.isDone == false else { return }
        withRelay(launch, effects: &effects) { relay, relayEffects in
            relay.finish(effects: &relayEffects)
        }
        effects.append(.release(launch: launch))
        launches[launch]?.isDone = true
        closeIfOver(launch, effects: &effects)
    }

    /// Ends the ranks, and drops the launch: its caller does not want it any more.
    mutating func condemn(_ launch: UInt64, effects: inout [SlaveEffect]) {
        guard var known = launches[launch] else { return }
        known.isCondemned = true
        known.isDone = true
        for index in known.ownRanks.indices {
            switch known.rankStates[index] {
            // One that is not placed yet may never be, if it waits for a file of the caller's.
            case .running, .spawning:
                effects.append(
                    .signal(launch: launch, rank: known.ownRanks[index].rank, Self.end))
            case .waiting: known.rankStates[index] = .failed
            case .ended, .failed: break
            }
        }
        launches[launch] = known
        closeIfOver(launch, effects: &effects)
    }

    mutating func closeIfOver(_ launch: UInt64, effects: inout [SlaveEffect]) {
        guard let known = launches[launch], known.isDone else { return }
        closeStorageIfIdle(launch, effects: &effects)
        if known.isSettled {
            launches[launch] = nil
            remember(ended: launch)
            effects.append(.forget(launch: launch))
        }
    }

    private mutating func closeStorageIfIdle(
        _ launch: UInt64, effects: inout [SlaveEffect]
    ) {
        guard let known = launches[launch], known.isStorageOpen,
            !known.rankStates.contains(where: { $0 == .spawning || $0 == .waiting })
        else { return }
        launches[launch]?.isStorageOpen = false
        effects.append(
            .closeStorage(launch: launch, childrenHaveAll: known.relay.childrenHaveAll))
    }

    mutating func withRelay(
        _ launch: UInt64, effects: inout [SlaveEffect],
        _ body: (inout LaunchRelay, inout [RelayEffect]) -> Void
    ) {
        guard launches[launch] != nil else { return }
        body(&launches[launch]!.relay, &relayEffects)
        for effect in relayEffects { effects.append(.relay(launch: launch, effect)) }
        relayEffects.removeAll(keepingCapacity: true)
    }
}
