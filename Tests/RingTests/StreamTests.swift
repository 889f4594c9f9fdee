import CSystem
import CTestSupport
import Ring
import System
import Testing

@Suite struct StreamTests {
    /// One ring plays both sides of a TCP connection; sizes from one byte to several socket
    /// buffers.
    @Test(arguments: Engine.available)
    func echoesRandomSizes(_ engine: Engine) throws {
        var ring = try engine.ring()
        let pair = try ConnectedPair()
        var sizes = [1, 2, 4095, 4096, 4097, 65_536, 3_000_001]
        for _ in 0..<20 { sizes.append(Int.random(in: 1...400_000)) }
        for (round, byteCount) in sizes.enumerated() {
            let sent = TestBuffer(byteCount: byteCount, seed: UInt64(round + 1))
            let echoed = TestBuffer(byteCount: byteCount)
            let back = TestBuffer(byteCount: byteCount)
            let slot = UInt32(round)
            let out = OperationTag(kind: 1, slot: slot)
            let inward = OperationTag(kind: 2, slot: slot)
            ring.receive(pair.far.number, into: echoed.bytes, waitAll: true, tag: inward)
            ring.send(pair.near.number, sent.readable, tag: out)
            for answer in try ring.completions(2) { #expect(answer.result == byteCount) }
            let outAgain = OperationTag(kind: 3, slot: slot)
            let inAgain = OperationTag(kind: 4, slot: slot)
            ring.send(pair.far.number, echoed.readable, more: true, tag: outAgain)
            ring.receive(pair.near.number, into: back.bytes, waitAll: true, tag: inAgain)
            for answer in try ring.completions(2) { #expect(answer.result == byteCount) }
            #expect(back.bytes.elementsEqual(sent.bytes))
        }
    }

    @Test(arguments: Engine.available)
    func receivesWhatIsThereUnlessAskedForAll(_ engine: Engine) throws {
        var ring = try engine.ring()
        let pair = try ConnectedPair()
        let sent = TestBuffer(byteCount: 10, seed: 1)
        let room = TestBuffer(byteCount: 100)
        let tag = OperationTag(kind: 1, slot: 1)
        ring.receive(pair.far.number, into: room.bytes, waitAll: false, tag: tag)
        ring.send(pair.near.number, sent.readable, tag: OperationTag(kind: 2, slot: 1))
        for answer in try ring.completions(2) { #expect(answer.result == 10) }

        // End of stream cuts a waiting receive short, and answers 0 from then on.
        ring.receive(pair.far.number, into: room.bytes, waitAll: true, tag: tag)
        ring.send(pair.near.number, sent.readable, tag: OperationTag(kind: 2, slot: 2))
        _ = try ring.completion(of: OperationTag(kind: 2, slot: 2)) {
            #expect($0.tag.kind == 2)
        }
        try check("finish writing", bptest_finish_writing(pair.near.number))
        #expect(try ring.completion(of: tag).result == 10)
        ring.receive(pair.far.number, into: room.bytes, waitAll: false, tag: tag)
        #expect(try ring.completion(of: tag).result == 0)
    }

    @Test(arguments: Engine.available)
    func bothDirectionsAtOnce(_ engine: Engine) throws {
        var ring = try engine.ring()
        let pair = try ConnectedPair()
        let byteCount = 8 << 20
        let first = TestBuffer(byteCount: byteCount, seed: 3)
        let second = TestBuffer(byteCount: byteCount, seed: 4)
        let firstIn = TestBuffer(byteCount: byteCount)
        let secondIn = TestBuffer(byteCount: byteCount)
        // Larger than all socket buffers: neither send can finish before the other side receives.
        ring.send(pair.near.number, first.readable, tag: OperationTag(kind: 1, slot: 0))
        ring.send(pair.far.number, second.readable, tag: OperationTag(kind: 1, slot: 1))
        ring.receive(
            pair.far.number, into: firstIn.bytes, waitAll: true, tag: OperationTag(kind: 2, slot: 0)
        )
        ring.receive(
            pair.near.number, into: secondIn.bytes, waitAll: true,
            tag: OperationTag(kind: 2, slot: 1))
        for answer in try ring.completions(4) { #expect(answer.result == byteCount) }
        #expect(first.bytes.elementsEqual(firstIn.bytes))
        #expect(second.bytes.elementsEqual(secondIn.bytes))
    }

    @Test(arguments: Engine.available)
    func peerResetIsAnError(_ engine: Engine) throws {
        var ring = try engine.ring()
        let (near, far) = try ConnectedPair().release()
        let room = TestBuffer(byteCount: 100)
        let tag = OperationTag(kind: 1, slot: 1)
        let reader = OwnedDescriptor(adopting: near)
        ring.receive(reader.number, into: room.bytes, waitAll: false, tag: tag)
        #expect(try ring.completionsNow().isEmpty)
        try check("reset on close", bptest_reset_on_close(far))
        close(far)
        #expect(try ring.completion(of: tag).result == -ErrorNumber.connectionReset)
        let data = TestBuffer(byteCount: 100)
        ring.send(reader.number, data.readable, tag: tag)
        #expect(try ring.completion(of: tag).result == -ErrorNumber.brokenPipe)
    }

    @Test(arguments: Engine.available)
    func refusedConnectIsAnError(_ engine: Engine) throws {
        var ring = try engine.ring()
        let address = try Listener().address
        let socket = try Socket.tcp(family: .ipv4)
        let tag = OperationTag(kind: 1, slot: 1)
        ring.connect(socket.number, to: address, tag: tag)
        #expect(try ring.completion(of: tag).result == -ErrorNumber.connectionRefused)
    }

    @Test(arguments: Engine.available)
    func connectsOverIPv6(_ engine: Engine) throws {
        let listener: Listener
        do {
            listener = try Listener("[::1]:0")
        } catch let error as SystemCallError where [97, 99].contains(error.errorNumber) {
            // EAFNOSUPPORT, EADDRNOTAVAIL: no IPv6 here.
            return
        }
        var ring = try engine.ring()
        let socket = try Socket.tcp(family: .ipv6)
        let tag = OperationTag(kind: 1, slot: 1)
        ring.connect(socket.number, to: listener.address, tag: tag)
        #expect(try ring.completion(of: tag).result == 0)
        #expect(Socket.peerAddress(of: socket.number) == listener.address)
    }

    /// More connects than the ring has entries, each to an address of its own: the kernel reads an
    /// address when the operation is submitted, and none may be overwritten before that.
    @Test(arguments: Engine.available)
    func connectsGoWhereTheyWereSent(_ engine: Engine) throws {
        var ring = try engine.ring(entries: 4)
        let listener = try Listener("0.0.0.0:0")
        let count = 60
        var sockets: [Int32] = []
        defer { for socket in sockets { close(socket) } }
        var targets: [SocketAddress] = []
        for index in 0..<count {
            let target = SocketAddress(
                family: .ipv4, octets: [127, 0, 1, UInt8(index + 1)], port: listener.address.port)
            let socket = try Socket.tcp(family: .ipv4).release()
            sockets.append(socket)
            targets.append(target)
            ring.connect(socket, to: target, tag: OperationTag(kind: 1, slot: UInt32(index)))
            // Other entries between the connects make the queue fill up at every place in turn.
            if index % 3 == 0 { ring.cancel(OperationTag(kind: 9, slot: 0)) }
        }
        for answer in try ring.completions(count) { #expect(answer.result == 0) }
        for (socket, target) in zip(sockets, targets) {
            #expect(Socket.peerAddress(of: socket) == target)
        }
    }

    @Test(arguments: Engine.available)
    func acceptsFiveHundredConnections(_ engine: Engine) throws {
        var ring = try engine.ring(entries: 32)
        let listener = try Listener()
        let accept = OperationTag(kind: 1, slot: 0)
        ring.accept(listener.descriptor.number, tag: accept)
        let count = 500
        var outgoing: [Int32] = []
        var accepted: Set<Int32> = []
        defer { for descriptor in outgoing + accepted { close(descriptor) } }
        for index in 0..<count {
            let socket = try Socket.tcp(family: .ipv4).release()
            outgoing.append(socket)
            ring.connect(
                socket, to: listener.address, tag: OperationTag(kind: 2, slot: UInt32(index)))
        }
        var connected = 0
        while accepted.count < count || connected < count {
            for completion in try ring.completions(1) {
                if completion.tag == accept {
                    #expect(completion.hasMore)
                    try #require(completion.result >= 0)
                    #expect(accepted.insert(completion.result).inserted)
                } else {
                    #expect(completion.result == 0)
                    connected += 1
                }
            }
        }
        ring.cancel(accept)
        let last = try ring.completion(of: accept)
        #expect(!last.hasMore && last.result == -ErrorNumber.cancelled)
    }

    /// Connections that wait before the accept is armed: more than the completion queue has room
    /// for. The kernel then ends a repeating accept with a connection, and the ring renews it.
    @Test(arguments: Engine.available)
    func anAcceptOutlivesAFullCompletionQueue(_ engine: Engine) throws {
        var ring = try engine.ring(entries: 2)
        let listener = try Listener()
        let count = 100
        var open: [Int32] = []
        defer { for descriptor in open { close(descriptor) } }
        for _ in 0..<count {
            let socket = try Socket.tcp(family: .ipv4)
            var raw = listener.address.raw
            let result = bp_connect_nonblocking(socket.number, &raw)
            try #require(result == 0 || result == -115)
            open.append(socket.release())
        }
        let accept = OperationTag(kind: 1, slot: 0)
        ring.accept(listener.descriptor.number, tag: accept)
        var accepted = 0
        while accepted < count {
            for completion in try ring.completions(1) {
                try #require(completion.result >= 0 && completion.hasMore)
                open.append(completion.result)
                accepted += 1
            }
        }
        ring.cancel(accept)
        #expect(try ring.completion(of: accept).result == -ErrorNumber.cancelled)
    }
}
