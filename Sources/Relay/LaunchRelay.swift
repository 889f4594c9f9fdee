public import Wire

/// One launch as it passes through one daemon: chunks go down to the children, answers come up from
/// them, and a child that is lost is replaced by its own children.
///
/// The root (the master, or any daemon whose process makes a call) and every slave run this same
/// code; only a slave has a parent. Healing starts from above: the nearest living ancestor notices
/// a dead or silent child, reports it, and contacts that child's children, who say which chunks
/// they already have.
public struct LaunchRelay: Sendable {
    public let launch: UInt64
    public let chunkCount: UInt32
    /// The node this relay runs on, for log lines: -1 is the master.
    public let node: Int32
    let orderBytes: [UInt8]
    let stallNanoseconds: UInt64
    /// What the clock here would have shown when the root began the launch; the root's machine may
    /// have been started long before this one.
    private let beginNanoseconds: Int64
    /// Ranks wait for the done frame, so it must reach every node.
    let isHeld: Bool
    /// Somebody wants to know how far the launch has come.
    let isWatched: Bool
    /// Chunks a child may be sent ahead of its credit.
    let creditWindow: UInt32
    /// The program of the only child that has the image, where this relay has none to send: the
    /// master's, for a launch that a program on a node asked for.
    let holder: UInt32?

    /// Chunks 0 ..< held are stored and checked here.
    public private(set) var chunksHeld: UInt32
    public private(set) var parent: LinkID?
    private var parentHeardNanoseconds: UInt64
    private var creditGranted: UInt32
    var children: [RelayChild] = []

    /// Everything known of this subtree, own ranks first known or not: kept until the launch is
    /// done, because a new parent has to hear all of it again.
    public private(set) var answers = Answer()
    private var placedSentCount = 0
    private var failureSentCount = 0
    private var reachedSentCount = 0
    private var finalIsSent = false
    private var isWithdrawn = false
    private var ownRanksOutstanding: Int
    private var answeredNanoseconds: UInt64
    private var aliveNanoseconds: UInt64
    /// Children that were lost since the launch began.
    public private(set) var lostChildCount = 0

    /// Bytes a child may be sent before it has said anything.
    public static let creditWindowByteCount: UInt32 = 8 << 20
    /// Answers wait this long for others to travel with.
    public static let combineNanoseconds: UInt64 = 100_000_000

    /// - Parameters:
    ///   - parent: the link the launch came by; nil at the root.
    ///   - subtrees: the children's parts of the tree.
    ///   - ownRankCount: ranks that this node itself starts.
    ///   - chunksHeld: all at the root, which has the image; none elsewhere.
    ///   - holder: the program of the only child that has the image, if this relay plans for it.
    ///   - elapsedMicroseconds: how long the launch has been under way, as the parent said.
    public init(
        launch: UInt64, node: Int32, order: LaunchOrder, orderBytes: [UInt8], parent: LinkID?,
        subtrees: [RelaySubtree], ownRankCount: Int, chunksHeld: UInt32, holder: UInt32? = nil,
        elapsedMicroseconds: UInt32 = 0, now: UInt64
    ) {
        self.launch = launch
        self.node = node
        self.orderBytes = orderBytes
        self.parent = parent
        self.chunksHeld = chunksHeld
        self.holder = holder
        beginNanoseconds = Int64(clamping: now) - Int64(elapsedMicroseconds) * 1000
        chunkCount = order.chunkCount
        isHeld = order.flags.contains(.hold)
        isWatched = order.flags.contains(.watched)
        stallNanoseconds = UInt64(order.stallMilliseconds) * 1_000_000
        creditWindow = max(2, Self.creditWindowByteCount / order.chunkByteCount)
        creditGranted = creditWindow
        parentHeardNanoseconds = now
        answeredNanoseconds = now
        aliveNanoseconds = now
        ownRanksOutstanding = ownRankCount
        for subtree in subtrees {
            children.append(
                RelayChild(
                    node: subtree.root.node, subtree: subtree, isAdoption: false,
                    heardNanoseconds: now))
        }
    }

    /// How long the launch has been under way, by the root's clock.
    public func elapsedMicroseconds(now: UInt64) -> UInt32 {
        UInt32(clamping: (Int64(clamping: now) - beginNanoseconds) / 1000)
    }

    // MARK: Down

    /// Asks for links to all children.
    public mutating func start(now: UInt64, effects: inout [RelayEffect]) {
        for child in children { connect(child, effects: &effects) }
        // A relay waits for what its children say.
        guard isWatched, children.isEmpty else { return }
        answeredNanoseconds = now - min(now, Self.combineNanoseconds)
        sendAnswers(now: now, effects: &effects)
    }

    /// Nodes of this subtree that have the launch, as far as is known; 0 where nobody watches.
    public var reachedCount: Int {
        guard isWatched else { return 0 }
        return children.reduce(parent == nil ? 0 : 1) { $0 + $1.reachedCount }
    }

    private func connect(_ child: RelayChild, effects: inout [RelayEffect]) {
        effects.append(.connect(node: child.node, address: child.subtree.root.address))
    }

    public mutating func linkIsReady(
        node: Int32, link: LinkID, now: UInt64, effects: inout [RelayEffect]
    ) {
        guard
            let index = children.firstIndex(where: { $0.node == node && $0.state == .connecting })
        else { return }
        children[index].link = link
        children[index].heardNanoseconds = now
        let child = children[index]
        let frame = LaunchFrame(
            orderBytes: orderBytes, subtree: child.subtree,
            elapsedMicroseconds: elapsedMicroseconds(now: now))
        effects.append(
            .send(
                link,
                frame: frame.frame(
                    launch: launch, isAdoption: child.isAdoption, holder: holder)))
        children[index].state = child.isAdoption ? .adopted : .streaming
        children[index].creditLimit = creditWindow
        pump(index, effects: &effects)
    }

    /// A chunk is stored and checked here: it goes on to the children at once.
    public mutating func holds(chunk: UInt32, now: UInt64, effects: inout [RelayEffect]) {
        precondition(chunk == chunksHeld, "chunks are held in order")
        chunksHeld += 1
        parentHeardNanoseconds = now
        for index in children.indices { pump(index, effects: &effects) }
        if let parent, creditGranted < chunkCount, chunksHeld + creditWindow / 2 >= creditGranted {
            creditGranted = chunksHeld + creditWindow
            effects.append(
                .send(
                    parent,
                    frame: FrameHeader.frame(
                        FrameHeader(.credit, launch: launch, subject: creditGranted))))
        }
    }

    private mutating func pump(_ index: Int, effects: inout [RelayEffect]) {
        guard !isWithdrawn, children[index].state == .streaming, let link = children[index].link
        else { return }
        let end = min(chunksHeld, children[index].creditLimit)
        while children[index].nextChunk < end {
            effects.append(.forward(link, chunk: children[index].nextChunk))
            children[index].nextChunk += 1
        }
    }

    // MARK: Up

    /// One of this node's own ranks has an answer.
    public mutating func answerOwn(_ answer: Answer, now: UInt64, effects: inout [RelayEffect]) {
        ownRanksOutstanding -= answer.placed.count + answer.failures.count
        answers.append(answer)
        sendAnswers(now: now, effects: &effects)
    }

    /// This node cannot take the image: its own ranks have failed and its parent takes its
    /// children.
    public mutating func withdraw(_ answer: Answer, now: UInt64, effects: inout [RelayEffect]) {
        guard !isWithdrawn else { return }
        isWithdrawn = true
        children.removeAll()
        ownRanksOutstanding = 0
        answers.append(answer)
        sendAnswers(now: now, effects: &effects)
    }

    /// Nothing of this subtree is outstanding: every rank is placed or has failed.
    public var isFinished: Bool {
        ownRanksOutstanding == 0 && !children.contains { $0.isOutstanding }
    }

    private mutating func sendAnswers(now: UInt64, effects: inout [RelayEffect]) {
        guard let parent, !finalIsSent else { return }
        let isFinal = isFinished
        guard isFinal || now >= answeredNanoseconds + Self.combineNanoseconds else { return }
        var news = Answer()
        news.placed = Array(answers.placed[placedSentCount...])
        news.failures = Array(answers.failures[failureSentCount...])
        let reachedCount = reachedCount
        guard isFinal || !news.isEmpty || reachedCount > reachedSentCount else { return }
        placedSentCount = answers.placed.count
        failureSentCount = answers.failures.count
        reachedSentCount = reachedCount
        finalIsSent = isFinal
        answeredNanoseconds = now
        var flags: FrameHeader.Flags = isFinal ? .final : []
        if isWithdrawn { flags.insert(.withdrawn) }
        let frame = news.frame(
            launch: launch, flags: flags, reachedCount: UInt32(clamping: reachedCount))
        effects.append(.send(parent, frame: frame))
    }

    /// Whether no byte of the image can be on its way to a child any more: each that was sent
    /// chunks has answered finally and without loss.
    public var childrenHaveAll: Bool {
        !isWithdrawn && children.allSatisfy { $0.nextChunk == 0 || $0.state == .finished }
    }

    // MARK: Frames

    /// A frame from a child: credit, answer, attach or a sign of life.
    public mutating func receive(
        _ header: FrameHeader, answer: Answer?, from link: LinkID, now: UInt64,
        effects: inout [RelayEffect]
    ) {
        if link == parent { parentHeardNanoseconds = now }
        guard let index = children.firstIndex(where: { $0.link == link && $0.state != .lost })
        else { return }
        children[index].heardNanoseconds = now
        switch header.kind {
        case .credit:
            children[index].creditLimit = max(children[index].creditLimit, header.subject)
            pump(index, effects: &effects)
        case .attach:
            guard children[index].state == .adopted else { return }
            children[index].nextChunk = min(header.subject, chunkCount)
            // A limit beyond the last chunk means nothing, and the sum must not overflow.
            children[index].creditLimit = UInt32(
                clamping: UInt64(children[index].nextChunk) + UInt64(creditWindow))
            children[index].state = .streaming
            pump(index, effects: &effects)
        case .answer:
            guard let answer else { return }
            answers.append(answer)
            children[index].reaches(header.subject)
            if header.flags.contains(.withdrawn) {
                replace(
                    index, errorNumber: FailureCode.canceled,
                    reason: "node \(children[index].node) has no image to send", now: now,
                    effects: &effects)
            } else if header.flags.contains(.final) {
                children[index].state = .finished
            }
            sendAnswers(now: now, effects: &effects)
        default: break
        }
    }

    /// Bytes came on a link, whatever they are: its peer lives.
    public mutating func heard(from link: LinkID, now: UInt64) {
        if link == parent { parentHeardNanoseconds = now }
        for index in children.indices where children[index].link == link {
            children[index].heardNanoseconds = now
        }
    }

    /// A new parent has taken this node over; the old one, if it still lives, is not listened to.
    public mutating func adopt(newParent: LinkID, now: UInt64, effects: inout [RelayEffect]) {
        parent = newParent
        parentHeardNanoseconds = now
        creditGranted = chunksHeld + creditWindow
        placedSentCount = 0
        failureSentCount = 0
        reachedSentCount = 0
        finalIsSent = false
        answeredNanoseconds = now
        effects.append(
            .send(
                newParent,
                frame: FrameHeader.frame(
                    FrameHeader(.attach, launch: launch, subject: chunksHeld))))
        sendAnswers(now: now, effects: &effects)
    }

    /// Tells the children that every rank of the launch has an answer. The caller forgets the
    /// relay.
    public mutating func finish(effects: inout [RelayEffect]) {
        let frame = FrameHeader.frame(FrameHeader(.done, launch: launch))
        for child in children where child.state == .finished || child.state == .lost {
            if let link = child.link { effects.append(.send(link, frame: frame)) }
        }
    }
}

// MARK: - Loss and healing

extension LaunchRelay {
    public mutating func linkFailed(
        node: Int32, errorNumber: Int32, reason: String, now: UInt64, effects: inout [RelayEffect]
    ) {
        guard
            let index = children.firstIndex(where: { $0.node == node && $0.state == .connecting })
        else { return }
        lose(
            index, stage: .connect, errorNumber: errorNumber, reason: reason, now: now,
            effects: &effects)
        sendAnswers(now: now, effects: &effects)
    }

    public mutating func linkIsLost(
        _ link: LinkID, reason: String, now: UInt64, effects: inout [RelayEffect]
    ) {
        if link == parent {
            parent = nil
            parentHeardNanoseconds = now
        }
        for index in children.indices where children[index].link == link {
            lose(
                index, stage: .node, errorNumber: FailureCode.slaveDied, reason: reason, now: now,
                effects: &effects)
        }
        sendAnswers(now: now, effects: &effects)
    }

    /// Reports a lost child's own ranks first, then takes its children over.
    private mutating func lose(
        _ index: Int, stage: LaunchStage, errorNumber: Int32, reason: String, now: UInt64,
        effects: inout [RelayEffect]
    ) {
        guard children[index].state != .lost else { return }
        let entry = children[index].subtree.root
        let answered = answeredRanks
        for rank in entry.ranks where !answered.contains(rank.rank) {
            answers.failures.append(
                Answer.Failure(
                    rank: rank.rank, node: entry.node, stage: stage, errorNumber: errorNumber,
                    reason: reason))
        }
        children[index].link = nil
        effects.append(.note("node \(entry.node) lost in launch \(launch): \(reason)"))
        replace(index, errorNumber: errorNumber, reason: reason, now: now, effects: &effects)
    }

    /// Takes over the children of one that cannot serve them. Where it alone had the image, nobody
    /// can.
    private mutating func replace(
        _ index: Int, errorNumber: Int32, reason: String, now: UInt64,
        effects: inout [RelayEffect]
    ) {
        guard holder != nil else {
            adoptChildren(of: index, now: now, effects: &effects)
            return
        }
        children[index].lose()
        lostChildCount += 1
        let answered = answeredRanks
        for entry in children[index].subtree.entries {
            for rank in entry.ranks where !answered.contains(rank.rank) {
                answers.failures.append(
                    Answer.Failure(
                        rank: rank.rank, node: entry.node, stage: .receive,
                        errorNumber: errorNumber, reason: reason))
            }
        }
    }

    private mutating func adoptChildren(
        of index: Int, now: UInt64, effects: inout [RelayEffect]
    ) {
        children[index].lose()
        lostChildCount += 1
        let answered = answeredRanks
        for subtree in children[index].subtree.children {
            var orphan = RelayChild(
                node: subtree.root.node, subtree: subtree, isAdoption: true, heardNanoseconds: now)
            let isAnswered = subtree.entries.allSatisfy { entry in
                entry.ranks.allSatisfy { answered.contains($0.rank) }
            }
            // It is contacted all the same where its ranks wait for a word from above.
            if isAnswered, !isHeld {
                orphan.state = .finished
            } else {
                connect(orphan, effects: &effects)
            }
            children.append(orphan)
        }
    }

    private var answeredRanks: Set<UInt32> {
        var ranks = Set<UInt32>(minimumCapacity: answers.placed.count + answers.failures.count)
        for entry in answers.placed { ranks.insert(entry.rank) }
        for entry in answers.failures { ranks.insert(entry.rank) }
        return ranks
    }
}

// MARK: - Time

extension LaunchRelay {
    private var aliveInterval: UInt64 { stallNanoseconds / 4 }

    /// When `tick` has something to do at the earliest.
    public var deadlineNanoseconds: UInt64 {
        let combine =
            hasUnsentAnswers ? answeredNanoseconds + Self.combineNanoseconds : UInt64.max
        return min(combine, aliveNanoseconds + aliveInterval)
    }

    private var hasUnsentAnswers: Bool {
        parent != nil && !finalIsSent
            && (placedSentCount < answers.placed.count
                || failureSentCount < answers.failures.count
                || reachedSentCount < reachedCount)
    }

    /// Sends signs of life, partial answers, and gives silent children up.
    public mutating func tick(now: UInt64, effects: inout [RelayEffect]) {
        if now > aliveNanoseconds + aliveInterval + stallNanoseconds / 2 {
            // It is this daemon that was stopped: nobody else can be blamed for the silence.
            for index in children.indices { children[index].heardNanoseconds = now }
        }
        if now >= aliveNanoseconds + aliveInterval {
            aliveNanoseconds = now
            let frame = FrameHeader.frame(FrameHeader(.alive, launch: launch))
            if let parent { effects.append(.send(parent, frame: frame)) }
            for child in children where child.isOutstanding {
                if let link = child.link { effects.append(.send(link, frame: frame)) }
            }
        }
        for index in children.indices where children[index].isOutstanding {
            let silence = now - min(now, children[index].heardNanoseconds)
            guard silence > stallNanoseconds else { continue }
            let milliseconds = silence / 1_000_000
            // The way to a holder is its control link, which does not end with a launch.
            if let link = children[index].link, holder == nil { effects.append(.close(link)) }
            let isConnecting = children[index].state == .connecting
            lose(
                index, stage: isConnecting ? .connect : .node, errorNumber: FailureCode.timedOut,
                reason: isConnecting
                    ? "no connection after \(milliseconds) ms"
                    : "no sign of life for \(milliseconds) ms", now: now, effects: &effects)
        }
        sendAnswers(now: now, effects: &effects)
    }

    /// How long this node has been without a parent or word from it, in nanoseconds.
    public func orphanedNanoseconds(now: UInt64) -> UInt64 {
        now - min(now, parentHeardNanoseconds)
    }

    public var stallLimitNanoseconds: UInt64 { stallNanoseconds }
}
