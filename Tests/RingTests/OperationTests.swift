import CSystem
import CTestSupport
import Ring
import System
import Testing

@Suite struct OperationTests {
    @Test func tagsKeepTheirParts() {
        let tag = OperationTag(kind: 0xfe, slot: .max, generation: 0xff_fffe)
        #expect(tag.kind == 0xfe && tag.slot == .max && tag.generation == 0xff_fffe)
    }

    @Test func theRingSaysWhatItRunsOn() throws {
        let ring = try Ring(entries: 8, forbidsUring: true)
        #expect(ring.backEnd == .epoll("asked for"))
    }

    @Test(arguments: Engine.available)
    func pollTellsReadinessAndHangUp(_ engine: Engine) throws {
        var ring = try engine.ring()
        let pipe = try Pipe()
        let reading = OperationTag(kind: 1, slot: 0)
        let writing = OperationTag(kind: 2, slot: 0)
        ring.poll(pipe.writing.number, for: .writable, tag: writing)
        #expect(try ring.completion(of: writing).result == 4)
        ring.poll(pipe.reading.number, for: .readable, tag: reading)
        #expect(try ring.completionsNow().isEmpty)
        #expect(try Stream.writeAvailable(pipe.writing.number, [7]) == 1)
        let answer = try ring.completion(of: reading)
        #expect(answer.result == 1 && !answer.hasMore)
        // Once means once: the byte is still there.
        #expect(try ring.completionsNow().isEmpty)
        let room = TestBuffer(byteCount: 10)
        #expect(try Stream.readAvailable(pipe.reading.number, into: room.bytes) == 1)
        ring.poll(pipe.reading.number, for: .readable, tag: reading)
        #expect(try ring.completionsNow().isEmpty)
        let ends = pipe.split()
        close(ends.writing)
        #expect(try ring.completion(of: reading).result > 0)
        close(ends.reading)
    }

    /// Regular files are always ready; epoll itself refuses them.
    @Test(arguments: Engine.available)
    func filesAreAlwaysReady(_ engine: Engine) throws {
        var ring = try engine.ring()
        let number = try check("open", bp_open_read_only("/proc/self/exe"))
        let file = OwnedDescriptor(adopting: Int32(number))
        let tag = OperationTag(kind: 1, slot: 0)
        ring.poll(file.number, for: .readable, tag: tag)
        #expect(try ring.completion(of: tag).result == 1)
    }

    @Test(arguments: Engine.available)
    func waitingEndsAtItsTime(_ engine: Engine) throws {
        var ring = try engine.ring()
        let pipe = try Pipe()
        ring.poll(pipe.reading.number, for: .readable, tag: OperationTag(kind: 1, slot: 0))
        let until = Clock.monotonicNanoseconds + 5_000_000
        // A signal may end a wait early, with nothing.
        while Clock.monotonicNanoseconds < until {
            try ring.waitForCompletions(untilNanoseconds: until)
            #expect(ring.nextCompletion() == nil)
        }
    }

    @Test(arguments: Engine.available)
    func cancelledOperationsEnd(_ engine: Engine) throws {
        var ring = try engine.ring()
        let pair = try ConnectedPair()
        let room = TestBuffer(byteCount: 1000)
        let receive = OperationTag(kind: 1, slot: 7)
        // Cancelled before it was submitted, and after.
        for isSubmitted in [false, true] {
            ring.receive(pair.near.number, into: room.bytes, waitAll: false, tag: receive)
            if isSubmitted { #expect(try ring.completionsNow().isEmpty) }
            ring.cancel(receive)
            #expect(try ring.completion(of: receive).result == -ErrorNumber.cancelled)
        }
        // Nothing under way: the cancel answers nothing.
        ring.cancel(receive)
        #expect(try ring.completionsNow().isEmpty)
    }

    /// The one that had begun says how far it came, the others on the descriptor go on.
    @Test(arguments: Engine.available)
    func aCancelEndsOneOperationOnly(_ engine: Engine) throws {
        var ring = try engine.ring()
        let pair = try ConnectedPair()
        let room = TestBuffer(byteCount: 1000)
        let big = TestBuffer(byteCount: 32 << 20)
        let send = OperationTag(kind: 2, slot: 7)
        let whole = OperationTag(kind: 3, slot: 7)
        ring.send(pair.near.number, big.readable, tag: send)
        ring.receive(pair.near.number, into: room.bytes, waitAll: true, tag: whole)
        #expect(try ring.completionsNow().isEmpty)
        ring.cancel(send)
        let sent = try ring.completion(of: send) { _ in Issue.record("the receive goes on") }
        #expect(sent.result > 0 && sent.result < 32 << 20)
        let data = TestBuffer(byteCount: 1000, seed: 8)
        ring.send(pair.far.number, data.readable, tag: OperationTag(kind: 4, slot: 7))
        for answer in try ring.completions(2) { #expect(answer.result == 1000) }
        #expect(room.bytes.elementsEqual(data.bytes))
    }

    /// More operations queued at once than the ring has entries, and more answers than it has room
    /// for: nothing is lost.
    @Test(arguments: Engine.available)
    func moreOperationsThanEntries(_ engine: Engine) throws {
        var ring = try engine.ring(entries: 4)
        let pipe = try Pipe()
        let count = 1000
        for slot in 0..<count {
            ring.poll(
                pipe.writing.number, for: .writable,
                tag: OperationTag(kind: 1, slot: UInt32(slot)))
        }
        var seen: Set<UInt32> = []
        for answer in try ring.completions(count) {
            #expect(answer.result == 4)
            #expect(seen.insert(answer.tag.slot).inserted)
        }
        #expect(seen.count == count)
        #expect(try ring.completionsNow().isEmpty)
    }

    @Test(arguments: Engine.available)
    func badDescriptorsAreErrors(_ engine: Engine) throws {
        var ring = try engine.ring()
        // A number nobody reaches: other tests open descriptors meanwhile.
        let room = TestBuffer(byteCount: 10)
        let tag = OperationTag(kind: 1, slot: 0)
        for descriptor: Int32 in [1 << 29, -1] {
            ring.receive(descriptor, into: room.bytes, waitAll: false, tag: tag)
            #expect(try ring.completion(of: tag).result == -ErrorNumber.badDescriptor)
            ring.poll(descriptor, for: .readable, tag: tag)
            #expect(try ring.completion(of: tag).result == -ErrorNumber.badDescriptor)
            ring.accept(descriptor, tag: tag)
            let answer = try ring.completion(of: tag)
            #expect(answer.result == -ErrorNumber.badDescriptor && !answer.hasMore)
        }
    }

    /// A connection's slot is taken again while an operation of the old one is still under way: its
    /// completion carries the old generation and is not mistaken for the new one's.
    @Test(arguments: Engine.available)
    func aLateCompletionIsRecognised(_ engine: Engine) throws {
        var ring = try engine.ring()
        let oldPair = try ConnectedPair()
        let newPair = try ConnectedPair()
        let oldRoom = TestBuffer(byteCount: 10)
        let newRoom = TestBuffer(byteCount: 10)
        let old = OperationTag(kind: 1, slot: 3, generation: 41)
        let new = OperationTag(kind: 1, slot: 3, generation: 42)
        ring.receive(oldPair.near.number, into: oldRoom.bytes, waitAll: true, tag: old)
        #expect(try ring.completionsNow().isEmpty)
        ring.receive(newPair.near.number, into: newRoom.bytes, waitAll: true, tag: new)
        ring.cancel(old)
        let data = TestBuffer(byteCount: 10, seed: 2)
        ring.send(newPair.far.number, data.readable, tag: OperationTag(kind: 2, slot: 0))
        var results: [OperationTag: Int32] = [:]
        for answer in try ring.completions(3) { results[answer.tag] = answer.result }
        #expect(results[old] == -ErrorNumber.cancelled && results[new] == 10)
        #expect(newRoom.bytes.elementsEqual(data.bytes))
    }

    /// The number of a closed descriptor is given to the next one at once.
    @Test(arguments: Engine.available)
    func aReusedDescriptorNumberIsANewDescriptor(_ engine: Engine) throws {
        var ring = try engine.ring()
        for slot: UInt32 in 0..<50 {
            let pair = try ConnectedPair()
            let room = TestBuffer(byteCount: 10)
            let tag = OperationTag(kind: 1, slot: slot)
            ring.receive(pair.near.number, into: room.bytes, waitAll: false, tag: tag)
            #expect(try ring.completionsNow().isEmpty)
            if slot % 2 == 0 {
                Socket.shutDown(pair.near.number)
                #expect(try ring.completion(of: tag).result == 0)
            } else {
                ring.cancel(tag)
                #expect(try ring.completion(of: tag).result == -ErrorNumber.cancelled)
            }
        }
    }
}
