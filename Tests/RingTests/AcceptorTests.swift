import CSystem
import CTestSupport
import Ring
import System
import Testing

/// Accepting where there is nothing to accept with.
@Suite struct AcceptorTests {
    /// In a process of its own, whose descriptors run out.
    @Test func withoutDescriptorsItPausesInsteadOfSpinning() async {
        await #expect(processExitsWith: .exitCode(42)) {
            for engine in Engine.available {
                try Self.pauseAndGoOn(engine)
            }
            bp_exit(42)
        }
    }

    private static func pauseAndGoOn(_ engine: Engine) throws {
        var ring = try engine.ring()
        let socket = try Socket.listening(on: SocketAddress("127.0.0.1:0", defaultPort: 0)!)
        let address = Socket.localAddress(of: socket.number)!
        let tag = OperationTag(kind: 7, slot: 0)
        var acceptor = Acceptor(socket, tag: tag)
        acceptor.start(on: &ring)
        let first = try Socket.tcp(family: .ipv4)
        let second = try Socket.tcp(family: .ipv4)
        // All numbers up to the last one in use are taken, and no others may be.
        try check("limit", bptest_limit_open_files(0))
        let connect = OperationTag(kind: 8, slot: 0)
        ring.connect(first.number, to: address, tag: connect)
        let refused = try ring.completion(of: tag)
        try require(refused.result == -24 && !refused.hasMore, 2)
        let start: UInt64 = 1_000_000_000
        try require(
            acceptor.take(refused, now: start, ring: &ring) == .paused(errorNumber: 24), 3)
        try require(acceptor.resumeNanoseconds == start + Acceptor.pauseNanoseconds, 4)
        // Nothing is asked of the kernel, so it answers nothing.
        acceptor.tick(now: start + 1, ring: &ring)
        try require(try ring.completionsNow().allSatisfy { $0.tag == connect }, 5)
        // The second time is not told.
        acceptor.tick(now: start + Acceptor.pauseNanoseconds, ring: &ring)
        let again = try ring.completion(of: tag)
        try require(again.result == -24, 6)
        try require(acceptor.take(again, now: start, ring: &ring) == .nothing, 7)
        try check("limit", bptest_limit_open_files(256))
        acceptor.tick(now: start + Acceptor.pauseNanoseconds, ring: &ring)
        let accepted = try ring.completion(of: tag)
        guard case .connection(let number) = acceptor.take(accepted, now: start, ring: &ring)
        else { bp_exit(8) }
        try require(acceptor.resumeNanoseconds == nil, 9)
        _ = OwnedDescriptor(adopting: number)
        // And the next one needs no word from us.
        ring.connect(second.number, to: address, tag: connect)
        let next = try ring.completion(of: tag)
        try require(next.result >= 0, 10)
        _ = OwnedDescriptor(adopting: next.result)
    }

    private static func require(_ condition: Bool, _ code: Int32) throws {
        if !condition { bp_exit(code) }
    }
}
