public import Relay
public import Ring
public import System
public import Wire

/// All links of one daemon, on its ring: accepting, connecting, framing, and sending.
///
/// Frames are received whole and handed out as events. Bodies of chunks go straight to where the
/// `ChunkStore` wants them, and chunks are sent from their file by page reference (sendfile, called
/// directly once the socket has room: as a ring operation it would go to a worker thread).
public struct LinkTable: ~Copyable {
    /// Kinds of ring operations that belong to the table; a daemon's own kinds stay clear of them.
    public enum OperationKind {
        public static let accept: UInt8 = 1
        public static let connect: UInt8 = 2
        public static let receive: UInt8 = 3
        public static let writable: UInt8 = 4
        public static let readable: UInt8 = 5
        public static let range: ClosedRange<UInt8> = 1...5
    }

    var links: [Link?] = []
    var generations: [UInt32] = []
    var freeSlots: [Int] = []
    var listener: Acceptor?
    /// When `tick` has something to do; nil: never.
    public private(set) var deadlineNanoseconds: UInt64?
    var events: [LinkEvent] = []
    var paused: [LinkID] = []
    /// Receive and send buffer of relay sockets, in bytes: 0 leaves them to the kernel.
    let socketBufferByteCount: Int
    /// Frames queued for one peer beyond this many bytes mean that it does not read.
    static let backlogByteLimit = 64 << 20

    public init(socketBufferByteCount: Int) {
        self.socketBufferByteCount = socketBufferByteCount
    }

    public var count: Int { links.count - freeSlots.count }

    /// Events since the last call, in order.
    public mutating func takeEvents(into taken: inout [LinkEvent]) {
        swap(&taken, &events)
        events.removeAll(keepingCapacity: true)
    }

    // MARK: Opening

    public mutating func listen(
        on descriptor: consuming OwnedDescriptor, ring: inout Ring
    ) {
        let listener = Acceptor(
            descriptor, tag: OperationTag(kind: OperationKind.accept, slot: 0, generation: 0))
        listener.start(on: &ring)
        deadlineNanoseconds = nil
        self.listener = consume listener
    }

    mutating func takeConnection(_ completion: Completion, ring: inout Ring) -> Acceptor.Outcome {
        guard var taken = listener.take() else { return .nothing }
        let outcome = taken.take(completion, now: Clock.monotonicNanoseconds, ring: &ring)
        deadlineNanoseconds = taken.resumeNanoseconds
        listener = consume taken
        return outcome
    }

    /// Goes on with what was put off until now.
    public mutating func tick(now: UInt64, ring: inout Ring) {
        guard let deadlineNanoseconds, now >= deadlineNanoseconds else { return }
        self.deadlineNanoseconds = nil
        guard var taken = listener.take() else { return }
        taken.tick(now: now, ring: &ring)
        listener = consume taken
    }

    /// Begins a connection to a daemon, with `hello` as its first frame; answered by a ready or
    /// failed event.
    ///
    /// - Parameter local: this side's address; `.unspecified`: the kernel chooses.
    public mutating func connect(
        to address: NodeAddress, from local: NodeAddress = .unspecified, hello: Hello,
        ring: inout Ring
    ) -> LinkID {
        do throws(SystemCallError) {
            guard let target = SocketAddress(address) else {
                throw SystemCallError("connect to a node without an address", errorNumber: 99)
            }
            let socket = try Socket.tcp(family: target.family)
            try tune(socket.number, peer: target)
            if let local = SocketAddress(local) { try Socket.bind(socket.number, to: local) }
            let number = socket.number
            let link = insert(socket, peer: address, state: .connecting)
            link.isConnecting = true
            link.outgoing.append(.frame(hello.frame))
            ring.connect(number, to: target, tag: tag(OperationKind.connect, link.id))
            return link.id
        } catch {
            let id = insertNothing()
            events.append(
                .failed(id, errorNumber: error.errorNumber, reason: error.description))
            return id
        }
    }

    func tune(_ descriptor: Int32, peer: SocketAddress?) throws(SystemCallError) {
        try Socket.setNoDelay(descriptor)
        // Pacing has nothing to pace within one machine, and its timers cost.
        if peer?.isLoopback == true { Socket.setCongestionControl(descriptor, "cubic") }
        if socketBufferByteCount > 0 {
            Socket.setBufferSizes(
                descriptor, sendByteCount: socketBufferByteCount,
                receiveByteCount: socketBufferByteCount)
        }
    }

    mutating func takeSlot() -> Int {
        if let free = freeSlots.popLast() { return free }
        links.append(nil)
        generations.append(0)
        return links.count - 1
    }

    mutating func insert(
        _ descriptor: consuming OwnedDescriptor, peer: NodeAddress, state: Link.State
    ) -> Link {
        let slot = takeSlot()
        let link = Link(
            id: LinkID(UInt64(generations[slot]) << 32 | UInt64(slot)), descriptor: descriptor,
            peer: peer, state: state)
        links[slot] = link
        return link
    }

    /// An id for a connection that could not even be begun.
    mutating func insertNothing() -> LinkID {
        let slot = takeSlot()
        let id = LinkID(UInt64(generations[slot]) << 32 | UInt64(slot))
        generations[slot] = (generations[slot] + 1) & 0xff_ffff
        freeSlots.append(slot)
        return id
    }

    func tag(_ kind: UInt8, _ id: LinkID) -> OperationTag {
        OperationTag(
            kind: kind, slot: UInt32(truncatingIfNeeded: id.rawValue),
            generation: UInt32(truncatingIfNeeded: id.rawValue >> 32))
    }

    func link(_ id: LinkID) -> Link? {
        let slot = Int(UInt32(truncatingIfNeeded: id.rawValue))
        guard slot < links.count, let link = links[slot], link.id == id else { return nil }
        return link
    }

    public func peer(of id: LinkID) -> NodeAddress? { link(id)?.peer }
    public func isOpen(_ id: LinkID) -> Bool { link(id)?.state == .open }

    // MARK: Sending

    /// Queues a frame behind what waits already and sends what the socket takes.
    public mutating func send<Store: ChunkStore & ~Copyable>(
        _ frame: [UInt8], on id: LinkID, store: borrowing Store, ring: inout Ring
    ) {
        guard let link = link(id), link.isListening else { return }
        link.outgoing.append(.frame(frame))
        if link.outgoing.frameByteCount > Self.backlogByteLimit {
            lose(link, reason: "the peer does not read what is sent to it", ring: &ring)
            return
        }
        flush(link, store: store, ring: &ring)
    }

    /// Queues a chunk by reference: its bytes are read from the store's file when the socket has
    /// room.
    public mutating func forward<Store: ChunkStore & ~Copyable>(
        chunk: UInt32, launch: UInt64, on id: LinkID, store: borrowing Store, ring: inout Ring
    ) {
        guard let link = link(id), link.state == .open else { return }
        link.outgoing.append(.chunk(launch: launch, index: chunk))
        flush(link, store: store, ring: &ring)
    }

    mutating func flush<Store: ChunkStore & ~Copyable>(
        _ link: Link, store: borrowing Store, ring: inout Ring
    ) {
        guard !link.isPollingWritable, !link.isConnecting else { return }
        while let item = link.outgoing.first {
            do throws(SystemCallError) {
                let isSent: Bool
                switch item {
                case .frame(let bytes): isSent = try send(bytes, link)
                case .chunk(let launch, let index):
                    isSent = try send(chunk: index, launch: launch, link, store: store)
                }
                guard isSent else {
                    link.isPollingWritable = true
                    ring.poll(
                        link.descriptor.number, for: .writable,
                        tag: tag(OperationKind.writable, link.id))
                    return
                }
                link.outgoing.removeFirst()
            } catch {
                lose(link, reason: error.description, ring: &ring)
                return
            }
        }
        if link.state == .draining { lose(link, reason: "refused", ring: &ring) }
    }

    /// - Returns: whether all of it is sent; if not, the socket is full.
    func send(_ bytes: [UInt8], _ link: Link) throws(SystemCallError) -> Bool {
        while link.outgoing.sentByteCount < bytes.count {
            let start = link.outgoing.sentByteCount
            guard
                let count = try Socket.sendAvailable(
                    link.descriptor.number, bytes, from: start, hasMore: link.outgoing.hasMore)
            else { return false }
            link.outgoing.sentByteCount += count
        }
        return true
    }

    func send<Store: ChunkStore & ~Copyable>(
        chunk: UInt32, launch: UInt64, _ link: Link, store: borrowing Store
    ) throws(SystemCallError) -> Bool {
        guard let source = store.source(ofChunk: chunk, launch: launch) else {
            guard link.outgoing.sentByteCount == 0 else {
                throw SystemCallError(
                    "forward a chunk of a launch that has ended", errorNumber: 125)
            }
            return true
        }
        if link.outgoing.sentByteCount == 0 {
            let header = FrameHeader(
                .chunk, bodyByteCount: UInt32(source.byteCount), launch: launch, subject: chunk)
            var span = unsafe MutableRawSpan(_unsafeBytes: link.headerBytes)
            header.encode(into: &span)
        }
        while link.outgoing.sentByteCount < FrameHeader.byteCount {
            let start = link.outgoing.sentByteCount
            guard
                let count = unsafe try Socket.sendAvailable(
                    link.descriptor.number,
                    UnsafeRawBufferPointer(rebasing: link.headerBytes[start...]), hasMore: true)
            else { return false }
            link.outgoing.sentByteCount += count
        }
        let total = FrameHeader.byteCount + source.byteCount
        while link.outgoing.sentByteCount < total {
            let done = link.outgoing.sentByteCount - FrameHeader.byteCount
            guard
                let count = try Bulk.sendFile(
                    from: source.descriptor, offset: source.offset + done,
                    byteCount: source.byteCount - done, to: link.descriptor.number)
            else { return false }
            link.outgoing.sentByteCount += count
        }
        return true
    }

    /// Bytes of frames that wait to be sent on a link; 0 if there is none.
    public func waitingByteCount(on id: LinkID?) -> Int {
        guard let id else { return 0 }
        return link(id)?.outgoing.frameByteCount ?? 0
    }

    // MARK: Closing

    /// Closes a link without a word; no lost event follows.
    public mutating func close(_ id: LinkID, ring: inout Ring) {
        guard let link = link(id) else { return }
        shut(link, ring: &ring)
    }

    /// Tells the peer why, then closes; no lost event follows.
    public mutating func refuse<Store: ChunkStore & ~Copyable>(
        _ id: LinkID, reason: String, store: borrowing Store, ring: inout Ring
    ) {
        guard let link = link(id), link.isListening else { return }
        link.outgoing.append(.frame(Refusal(reason).frame))
        link.state = .draining
        flush(link, store: store, ring: &ring)
    }

    mutating func lose(_ link: Link, reason: String, ring: inout Ring) {
        let hadEvents = link.state == .open
        shut(link, ring: &ring)
        if hadEvents { events.append(.lost(link.id, reason: reason)) }
    }

    mutating func shut(_ link: Link, ring: inout Ring) {
        guard link.state != .closed else { return }
        link.state = .closed
        link.outgoing.removeAll()
        // Ends what the ring still has under way; the late completions free the slot.
        Socket.shutDown(link.descriptor.number)
        if link.isPollingWritable { ring.cancel(tag(OperationKind.writable, link.id)) }
        if link.isReceiving {
            ring.cancel(
                tag(
                    link.awaitedByteCount > 0 ? OperationKind.readable : OperationKind.receive,
                    link.id))
        }
        if link.isConnecting { ring.cancel(tag(OperationKind.connect, link.id)) }
        freeIfIdle(link)
    }

    mutating func freeIfIdle(_ link: Link) {
        guard link.state == .closed, !link.hasPendingOperations else { return }
        let slot = Int(UInt32(truncatingIfNeeded: link.id.rawValue))
        // A link that was shut while its completion was handled is here for the second time, and
        // its slot may be another's by now.
        guard links[slot] === link else { return }
        links[slot] = nil
        generations[slot] = (generations[slot] + 1) & 0xff_ffff
        freeSlots.append(slot)
    }
}
