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

    private var links: [Link?] = []
    private var generations: [UInt32] = []
    private var freeSlots: [Int] = []
    private var listener: OwnedDescriptor?
    private var listenerNumber: Int32?
    private var events: [LinkEvent] = []
    private var paused: [LinkID] = []
    /// Receive and send buffer of relay sockets, in bytes: 0 leaves them to the kernel.
    private let socketBufferByteCount: Int
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
        on listener: consuming OwnedDescriptor, ring: inout Ring
    ) {
        ring.accept(
            listener.number, tag: OperationTag(kind: OperationKind.accept, slot: 0, generation: 0))
        listenerNumber = listener.number
        self.listener = consume listener
    }

    /// Begins a connection to a daemon, with `hello` as its first frame; answered by a ready or
    /// failed event.
    public mutating func connect(
        to address: NodeAddress, hello: Hello, ring: inout Ring
    ) -> LinkID {
        do throws(SystemCallError) {
            guard let target = SocketAddress(address) else {
                throw SystemCallError("connect to a node without an address", errorNumber: 99)
            }
            let socket = try Socket.tcp(family: target.family)
            try tune(socket.number, peer: target)
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

    private func tune(_ descriptor: Int32, peer: SocketAddress?) throws(SystemCallError) {
        try Socket.setNoDelay(descriptor)
        // Pacing has nothing to pace within one machine, and its timers cost.
        if peer?.isLoopback == true { Socket.setCongestionControl(descriptor, "cubic") }
        if socketBufferByteCount > 0 {
            Socket.setBufferSizes(
                descriptor, sendByteCount: socketBufferByteCount,
                receiveByteCount: socketBufferByteCount)
        }
    }

    private mutating func takeSlot() -> Int {
        if let free = freeSlots.popLast() { return free }
        links.append(nil)
        generations.append(0)
        return links.count - 1
    }

    private mutating func insert(
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
    private mutating func insertNothing() -> LinkID {
        let slot = takeSlot()
        let id = LinkID(UInt64(generations[slot]) << 32 | UInt64(slot))
        generations[slot] = (generations[slot] + 1) & 0xff_ffff
        freeSlots.append(slot)
        return id
    }

    private func tag(_ kind: UInt8, _ id: LinkID) -> OperationTag {
        OperationTag(
            kind: kind, slot: UInt32(truncatingIfNeeded: id.rawValue),
            generation: UInt32(truncatingIfNeeded: id.rawValue >> 32))
    }

    private func link(_ id: LinkID) -> Link? {
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

    private mutating func flush<Store: ChunkStore & ~Copyable>(
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
    private func send(_ bytes: [UInt8], _ link: Link) throws(SystemCallError) -> Bool {
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

    private func send<Store: ChunkStore & ~Copyable>(
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

    private mutating func lose(_ link: Link, reason: String, ring: inout Ring) {
        let hadEvents = link.state == .open
        shut(link, ring: &ring)
        if hadEvents { events.append(.lost(link.id, reason: reason)) }
    }

    private mutating func shut(_ link: Link, ring: inout Ring) {
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

    private mutating func freeIfIdle(_ link: Link) {
        guard link.state == .closed, !link.hasPendingOperations else { return }
        let slot = Int(UInt32(truncatingIfNeeded: link.id.rawValue))
        // A link that was shut while its completion was handled is here for the second time, and its
        // slot may be another's by now.
        guard links[slot] === link else { return }
        links[slot] = nil
        generations[slot] = (generations[slot] + 1) & 0xff_ffff
        freeSlots.append(slot)
    }

    // MARK: Completions

    /// Acts on a completion of one of the table's operations.
    public mutating func handle<Store: ChunkStore & ~Copyable>(
        _ completion: Completion, store: inout Store, ring: inout Ring
    ) {
        if completion.tag.kind == OperationKind.accept {
            accepted(completion, ring: &ring)
            return
        }
        let id = LinkID(
            UInt64(completion.tag.generation) << 32 | UInt64(completion.tag.slot))
        // A late completion of a slot that serves another link by now belongs to nobody.
        guard let link = link(id) else { return }
        switch completion.tag.kind {
        case OperationKind.connect:
            link.isConnecting = false
            connected(link, result: completion.result, store: store, ring: &ring)
        case OperationKind.writable:
            link.isPollingWritable = false
            if link.state != .closed { flush(link, store: store, ring: &ring) }
        case OperationKind.readable:
            link.isReceiving = false
            if link.state == .open { receiveAvailable(link, store: &store, ring: &ring) }
        case OperationKind.receive:
            link.isReceiving = false
            if link.isListening {
                received(link, result: completion.result, store: &store, ring: &ring)
            }
        default: preconditionFailure("kind \(completion.tag.kind) is not an operation of links")
        }
        freeIfIdle(link)
    }

    private mutating func accepted(_ completion: Completion, ring: inout Ring) {
        if completion.result >= 0 {
            let socket = OwnedDescriptor(adopting: completion.result)
            let address = Socket.peerAddress(of: socket.number)
            try? tune(socket.number, peer: address)
            let peer = address.map { NodeAddress($0) } ?? .unspecified
            let link = insert(socket, peer: peer, state: .awaitingHello)
            receive(link, ring: &ring)
        }
        if !completion.hasMore, let listenerNumber {
            ring.accept(
                listenerNumber,
                tag: OperationTag(kind: OperationKind.accept, slot: 0, generation: 0))
        }
    }

    private mutating func connected<Store: ChunkStore & ~Copyable>(
        _ link: Link, result: Int32, store: borrowing Store, ring: inout Ring
    ) {
        guard link.state == .connecting else { return }
        guard result >= 0 else {
            let reason = SystemCallError("connect to \(link.peer)", errorNumber: -result)
            shut(link, ring: &ring)
            events.append(
                .failed(link.id, errorNumber: -result, reason: reason.description))
            return
        }
        link.state = .open
        events.append(.ready(link.id))
        receive(link, ring: &ring)
        flush(link, store: store, ring: &ring)
    }

    /// Waits for what comes next: control frames by a receive into the window, chunks by readiness
    /// with a low-water mark, so that one wake-up brings a megabyte instead of a packet.
    private func receive(_ link: Link, ring: inout Ring) {
        link.isReceiving = true
        if link.awaitedByteCount > 0 {
            link.setLowWater(min(link.awaitedByteCount, Link.lowWaterLimit))
            ring.poll(
                link.descriptor.number, for: .readable, tag: tag(OperationKind.readable, link.id))
            return
        }
        link.setLowWater(1)
        unsafe ring.receive(
            link.descriptor.number, into: link.windowSpace(), waitAll: false,
            tag: tag(OperationKind.receive, link.id))
    }

    /// Takes what has come without waiting, as long as it belongs to chunks.
    private mutating func receiveAvailable<Store: ChunkStore & ~Copyable>(
        _ link: Link, store: inout Store, ring: inout Ring
    ) {
        while link.state == .open {
            do throws(SystemCallError) {
                let isChunk = unsafe link.chunkPlace != nil
                let space = unsafe isChunk ? link.chunkSpace : link.windowSpace()
                guard
                    let count = unsafe try Socket.receiveAvailable(
                        link.descriptor.number, into: space)
                else {
                    receive(link, ring: &ring)
                    return
                }
                guard count > 0 else {
                    lose(link, reason: "the peer closed the connection", ring: &ring)
                    return
                }
                if isChunk {
                    link.chunkReceivedByteCount += count
                    finishChunkIfComplete(link, store: store)
                } else {
                    link.windowEnd += count
                }
            } catch {
                lose(link, reason: error.description, ring: &ring)
                return
            }
            guard understand(link, store: &store, ring: &ring) else { return }
            if link.awaitedByteCount == 0 {
                receive(link, ring: &ring)
                return
            }
        }
    }

    private mutating func received<Store: ChunkStore & ~Copyable>(
        _ link: Link, result: Int32, store: inout Store, ring: inout Ring
    ) {
        guard result > 0 else {
            let reason =
                result == 0
                ? "the peer closed the connection"
                : SystemCallError("receive from \(link.peer)", errorNumber: -result).description
            lose(link, reason: reason, ring: &ring)
            return
        }
        link.windowEnd += Int(result)
        advance(link, store: &store, ring: &ring)
    }

    /// Understands what has come, and asks for more.
    private mutating func advance<Store: ChunkStore & ~Copyable>(
        _ link: Link, store: inout Store, ring: inout Ring
    ) {
        guard understand(link, store: &store, ring: &ring) else { return }
        if link.awaitedByteCount > 0 {
            receiveAvailable(link, store: &store, ring: &ring)
        } else {
            receive(link, ring: &ring)
        }
    }

    /// Takes frames out of the window until there is an event to act on or bytes are missing. One
    /// event at a time: what the next frame means can depend on what becomes of this one (a chunk
    /// needs the launch before it to be known).
    /// - Returns: whether more bytes are wanted now.
    private mutating func understand<Store: ChunkStore & ~Copyable>(
        _ link: Link, store: inout Store, ring: inout Ring
    ) -> Bool {
        do throws(WireError) {
            while events.isEmpty, link.isListening, try takeFrame(link, store: &store) {}
        } catch {
            let hadEvents = link.state == .open
            refuse(link.id, reason: "\(error)", store: store, ring: &ring)
            if hadEvents { events.append(.lost(link.id, reason: "\(error)")) }
            return false
        }
        guard link.isListening else { return false }
        guard events.isEmpty else {
            paused.append(link.id)
            return false
        }
        return true
    }

    /// Goes on with links that stopped for the daemon to act on an event; called when it has.
    public mutating func resume<Store: ChunkStore & ~Copyable>(
        store: inout Store, ring: inout Ring
    ) {
        let waiting = paused
        paused.removeAll(keepingCapacity: true)
        for id in waiting {
            guard let link = link(id), link.isListening else { continue }
            advance(link, store: &store, ring: &ring)
        }
    }

    public var hasPausedLinks: Bool { !paused.isEmpty }

    /// Stops writing into the memory of a launch's image: what still comes of it is read and
    /// dropped.
    public mutating func dropChunks(of launch: UInt64) {
        for case let link? in links {
            guard let header = link.current, unsafe link.chunkPlace != nil,
                header.launch == launch
            else { continue }
            unsafe link.chunkPlace = nil
            link.isDropping = true
        }
        relaxLowWater()
    }

    /// Lets small frames through on links that wait for much: called now and then, and when what
    /// was awaited may never come.
    public mutating func relaxLowWater() {
        for case let link? in links where link.isListening && link.awaitedByteCount > 0 {
            link.followingByteCount = 0
            link.setLowWater(1)
        }
    }

    // MARK: Framing

    /// Takes the next step with the bytes in the window.
    /// - Returns: whether there may be another step to take.
    private mutating func takeFrame<Store: ChunkStore & ~Copyable>(
        _ link: Link, store: inout Store
    ) throws(WireError) -> Bool {
        if unsafe link.chunkPlace != nil { return false }
        let available = link.windowEnd - link.windowStart
        guard let header = link.current else {
            guard available >= FrameHeader.byteCount else { return false }
            let span = unsafe RawSpan(
                _unsafeBytes: UnsafeRawBufferPointer(
                    rebasing: link.window[link.windowStart..<link.windowEnd]))
            let header = try FrameHeader(decoding: span)
            guard link.state == .open || header.kind == .hello else {
                throw .unknownKind(header.kind.rawValue)
            }
            link.windowStart += FrameHeader.byteCount
            beginBody(link, header, store: &store)
            return true
        }
        let wanted = Int(header.bodyByteCount) - link.body.count - link.chunkReceivedByteCount
        let taken = min(wanted, available)
        let bytes = unsafe UnsafeRawBufferPointer(
            rebasing: link.window[link.windowStart..<(link.windowStart + taken)])
        link.windowStart += taken
        if link.isDropping {
            link.chunkReceivedByteCount += taken
        } else {
            unsafe link.body.append(contentsOf: bytes)
        }
        guard taken == wanted else { return false }
        link.current = nil
        link.chunkReceivedByteCount = 0
        if link.isDropping {
            link.isDropping = false
        } else {
            let body = link.body
            link.body = []
            try finish(link, header, body: body)
        }
        return true
    }

    private mutating func beginBody<Store: ChunkStore & ~Copyable>(
        _ link: Link, _ header: FrameHeader, store: inout Store
    ) {
        link.current = header
        guard header.kind == .chunk else {
            link.body.reserveCapacity(Int(header.bodyByteCount))
            return
        }
        guard let place = unsafe store.destination(for: header, from: link.id) else {
            link.isDropping = true
            return
        }
        precondition(place.count == Int(header.bodyByteCount))
        events.append(.chunkBegins(link.id, header))
        let taken = min(place.count, link.windowEnd - link.windowStart)
        unsafe place.copyMemory(
            from: UnsafeRawBufferPointer(
                rebasing: link.window[link.windowStart..<(link.windowStart + taken)]))
        link.windowStart += taken
        unsafe link.chunkPlace = place
        link.chunkReceivedByteCount = taken
        finishChunkIfComplete(link, store: store)
    }

    private mutating func finishChunkIfComplete<Store: ChunkStore & ~Copyable>(
        _ link: Link, store: borrowing Store
    ) {
        guard let place = unsafe link.chunkPlace, let header = link.current,
            link.chunkReceivedByteCount == place.count
        else { return }
        unsafe link.chunkPlace = nil
        link.current = nil
        link.chunkReceivedByteCount = 0
        link.followingByteCount = store.byteCount(after: header)
        events.append(.chunk(link.id, header))
    }

    private mutating func finish(
        _ link: Link, _ header: FrameHeader, body: [UInt8]
    ) throws(WireError) {
        guard header.kind == .hello else {
            events.append(.frame(link.id, header, body: body))
            return
        }
        guard link.state == .awaitingHello else {
            throw .unknownKind(header.kind.rawValue)
        }
        let hello = try Hello(decoding: body)
        link.state = .open
        events.append(.accepted(link.id, hello, peer: link.peer))
    }
}
