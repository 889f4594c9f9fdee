import Relay
public import Ring
import System
import Wire

// What the ring brings: connections, bytes, frames, chunks.
extension LinkTable {
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

    mutating func accepted(_ completion: Completion, ring: inout Ring) {
        switch takeConnection(completion, ring: &ring) {
        case .connection(let number):
            let socket = OwnedDescriptor(adopting: number)
            let address = Socket.peerAddress(of: socket.number)
            try? tune(socket.number, peer: address)
            let peer = address.map { NodeAddress($0) } ?? .unspecified
            let link = insert(socket, peer: peer, state: .awaitingHello)
            receive(link, ring: &ring)
        case .paused(let errorNumber): events.append(.acceptingPauses(errorNumber: errorNumber))
        case .nothing: break
        }
    }

    mutating func connected<Store: ChunkStore & ~Copyable>(
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
    func receive(_ link: Link, ring: inout Ring) {
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
    mutating func receiveAvailable<Store: ChunkStore & ~Copyable>(
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
                    if !finishChunkIfComplete(link, store: store) {
                        store.chunkGrows(
                            link.current!, receivedByteCount: link.chunkReceivedByteCount)
                    }
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

    mutating func received<Store: ChunkStore & ~Copyable>(
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
    mutating func advance<Store: ChunkStore & ~Copyable>(
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
    mutating func understand<Store: ChunkStore & ~Copyable>(
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
    mutating func takeFrame<Store: ChunkStore & ~Copyable>(
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

    mutating func beginBody<Store: ChunkStore & ~Copyable>(
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

    @discardableResult mutating func finishChunkIfComplete<Store: ChunkStore & ~Copyable>(
        _ link: Link, store: borrowing Store
    ) -> Bool {
        guard let place = unsafe link.chunkPlace, let header = link.current,
            link.chunkReceivedByteCount == place.count
        else { return false }
        unsafe link.chunkPlace = nil
        link.current = nil
        link.chunkReceivedByteCount = 0
        link.followingByteCount = store.byteCount(after: header)
        events.append(.chunk(link.id, header))
        return true
    }

    mutating func finish(
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
