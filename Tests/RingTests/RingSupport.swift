import CTestSupport
import Ring
import System

/// The two back ends; each test of behaviour runs on both.
enum Engine: String, CaseIterable, CustomStringConvertible, Sendable {
    case uring, epoll

    var description: String { rawValue }

    /// Back ends that this machine lets us have.
    static let available: [Engine] = {
        guard let ring = try? Ring(entries: 8), ring.backEnd == .uring else { return [.epoll] }
        return [.uring, .epoll]
    }()

    func ring(entries: Int = 16) throws(SystemCallError) -> Ring {
        try Ring(entries: entries, forbidsUring: self == .epoll)
    }
}

struct NoAnswer: Error {}

enum ErrorNumber {
    static let badDescriptor: Int32 = 9
    static let invalid: Int32 = 22
    static let brokenPipe: Int32 = 32
    static let connectionReset: Int32 = 104
    static let connectionRefused: Int32 = 111
    static let cancelled: Int32 = 125
}

extension Ring {
    /// Waits until the operation has answered. Other completions on the way go to `others`.
    mutating func completion(of tag: OperationTag, others: ((Completion) -> Void)? = nil) throws
        -> Completion
    {
        // Generous, and only to turn a hang into a failure.
        let deadline = Clock.monotonicNanoseconds + 30_000_000_000
        while Clock.monotonicNanoseconds < deadline {
            var found: Completion?
            try waitForCompletions(untilNanoseconds: deadline)
            while let completion = nextCompletion() {
                if completion.tag == tag, found == nil {
                    found = completion
                } else {
                    others?(completion)
                }
            }
            if let found { return found }
        }
        throw NoAnswer()
    }

    /// At least the next `count` completions, in order.
    mutating func completions(_ count: Int) throws -> [Completion] {
        var answers: [Completion] = []
        let deadline = Clock.monotonicNanoseconds + 30_000_000_000
        while answers.count < count {
            if Clock.monotonicNanoseconds >= deadline { throw NoAnswer() }
            try waitForCompletions(untilNanoseconds: deadline)
            while let completion = nextCompletion() { answers.append(completion) }
        }
        return answers
    }

    /// What has completed by now.
    mutating func completionsNow() throws -> [Completion] {
        try waitForCompletions(untilNanoseconds: 1)
        var answers: [Completion] = []
        while let completion = nextCompletion() { answers.append(completion) }
        return answers
    }
}

/// A buffer with a fixed address for the length of a test.
final class TestBuffer {
    let bytes: UnsafeMutableRawBufferPointer

    init(byteCount: Int) {
        bytes = .allocate(byteCount: byteCount, alignment: 16)
        bytes.initializeMemory(as: UInt8.self, repeating: 0)
    }

    /// Bytes that differ from place to place, and from seed to seed.
    convenience init(byteCount: Int, seed: UInt64) {
        self.init(byteCount: byteCount)
        var state = seed &* 0x9e37_79b9_7f4a_7c15 | 1
        for index in 0..<byteCount {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            bytes[index] = UInt8(truncatingIfNeeded: state)
        }
    }

    var readable: UnsafeRawBufferPointer { UnsafeRawBufferPointer(bytes) }

    deinit { bytes.deallocate() }
}

/// A listening socket on loopback and where it is reached.
final class Listener {
    let descriptor: OwnedDescriptor
    let address: SocketAddress

    init(_ text: String = "127.0.0.1:0") throws {
        guard let any = SocketAddress(text, defaultPort: 0) else { throw NoAnswer() }
        descriptor = try Socket.listening(on: any)
        guard let address = Socket.localAddress(of: descriptor.number) else { throw NoAnswer() }
        self.address = address
    }
}

/// Two connected TCP sockets over loopback.
struct ConnectedPair: ~Copyable {
    let near: OwnedDescriptor
    let far: OwnedDescriptor

    init() throws {
        let listener = try Listener()
        // Not io_uring, whose end goes on in the background and interrupts a later wait once.
        var ring = try Ring(entries: 8, forbidsUring: true)
        let near = try Socket.tcp(family: .ipv4)
        let connect = OperationTag(kind: 1, slot: 0)
        let accept = OperationTag(kind: 2, slot: 0)
        ring.connect(near.number, to: listener.address, tag: connect)
        ring.accept(listener.descriptor.number, tag: accept)
        var far: Int32 = -1
        var connected = false
        while far < 0 || !connected {
            for completion in try ring.completions(1) {
                guard completion.result >= 0 else { throw NoAnswer() }
                if completion.tag == connect {
                    connected = true
                } else {
                    far = completion.result
                }
            }
        }
        self.near = near
        self.far = OwnedDescriptor(adopting: far)
    }

    /// Gives both ends away.
    consuming func release() -> (near: Int32, far: Int32) { (near.release(), far.release()) }
}

/// Closes a descriptor now.
func close(_ number: Int32) { _ = OwnedDescriptor(adopting: number) }
