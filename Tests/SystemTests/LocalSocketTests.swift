import CSystem
import CTestSupport
import System
import Testing

/// A path of its own for one test, in the shared temporary directory.
private func temporaryPath(_ name: String) -> String { "/tmp/bproc-test-\(bp_own_pid())-\(name)" }

/// Two connected local sockets.
private struct Pair: ~Copyable {
    let near: OwnedDescriptor
    let far: OwnedDescriptor

    init() throws {
        var ends: [Int32] = [-1, -1]
        try check("socketpair", bp_unix_pair(&ends))
        near = OwnedDescriptor(adopting: ends[0])
        far = OwnedDescriptor(adopting: ends[1])
    }
}

/// Serial: a child that another suite forks may hold a copy of an end for a moment.
@Suite(.serialized) struct LocalSocketTests {
    @Test func aStaleSocketFileIsReplacedAndALivingOneIsNot() throws {
        let path = temporaryPath("stale")
        defer { _ = bp_unlink_path(path) }
        do {
            let number = try check("listen", bp_unix_listen(path, 0o600))
            _ = OwnedDescriptor(adopting: Int32(number))
        }
        #expect(bptest_file_exists(path) == 1)
        var number = bp_unix_listen(path, 0o600)
        for _ in 0..<1000 where number == -98 {
            // A process that another test has just forked keeps the old listener for a moment.
            _ = bptest_wait_readable(-1, 5)
            number = bp_unix_listen(path, 0o600)
        }
        let listener = OwnedDescriptor(adopting: Int32(try check("listen again", number)))
        #expect(bp_unix_listen(path, 0o600) == -98)
        #expect(bptest_file_exists(path) == 1)
        let client = OwnedDescriptor(
            adopting: Int32(try check("connect", bp_unix_connect(path))))
        let server = OwnedDescriptor(
            adopting: Int32(try check("accept", bp_accept(listener.number))))
        var peer = bp_credentials()
        try check("peer credentials", bp_peer_credentials(server.number, &peer))
        #expect(peer.pid == bp_own_pid() && peer.uid == bp_effective_user())
        _ = consume client
    }

    @Test func aPlainFileIsLeftAlone() throws {
        let path = temporaryPath("plain")
        defer { _ = bp_unlink_path(path) }
        try check("create", bptest_create_file(path))
        #expect(bp_unix_listen(path, 0o600) == -98)
        #expect(bptest_file_exists(path) == 1)
        // Not a socket that came in its place.
        let number = try check("open", bp_open_read_only(path))
        _ = OwnedDescriptor(adopting: Int32(number))
    }

    @Test func namesTooLongAreRefusedBeforeTheKernelCutsThem() {
        let path = "/tmp/" + String(repeating: "x", count: 108 - 5)
        #expect(bp_unix_listen(path, 0o600) == -36)
        #expect(bp_unix_connect(path) == -36)
        #expect(bp_unix_listen("", 0o600) == -36)
    }

    @Test func aDescriptorTravelsWithItsMessage() throws {
        let pair = try Pair()
        let pipe = try Pipe().split()
        let reading = OwnedDescriptor(adopting: pipe.reading)
        do {
            let writing = OwnedDescriptor(adopting: pipe.writing)
            var text: [UInt8] = [1, 2, 3]
            #expect(bp_send_descriptor(pair.near.number, &text, 3, writing.number) == 3)
        }
        var room = [UInt8](repeating: 0, count: 10)
        var received: Int32 = -1
        #expect(bp_receive_descriptor(pair.far.number, &room, 10, &received) == 3)
        try #require(received >= 0)
        #expect(room.prefix(3) == [1, 2, 3])
        do {
            let writing = OwnedDescriptor(adopting: received)
            #expect(try Stream.writeAvailable(writing.number, [9]) == 1)
            #expect(bp_read(reading.number, &room, 10) == 1 && room[0] == 9)
        }
        #expect(bp_read(reading.number, &room, 10) == 0)
        // Without one: none, and an empty socket answers EAGAIN.
        var byte: UInt8 = 5
        #expect(bp_send_descriptor(pair.near.number, &byte, 1, -1) == 1)
        #expect(bp_receive_descriptor(pair.far.number, &room, 10, &received) == 1)
        #expect(received == -1 && room[0] == 5)
        #expect(bp_receive_descriptor(pair.far.number, &room, 10, &received) == -11)
    }

    @Test func surplusDescriptorsAreClosed() throws {
        let pair = try Pair()
        let pipe = try Pipe(nonblockingRead: true).split()
        let reading = OwnedDescriptor(adopting: pipe.reading)
        do {
            let writing = OwnedDescriptor(adopting: pipe.writing)
            #expect(bptest_send_copies(pair.near.number, writing.number, 3) == 1)
        }
        var byte: UInt8 = 0
        var received: Int32 = -1
        #expect(bp_receive_descriptor(pair.far.number, &byte, 1, &received) == 1)
        try #require(received >= 0)
        #expect(bp_read(reading.number, &byte, 1) == -11)
        // The one kept is the last: no writer is left anywhere.
        do { _ = OwnedDescriptor(adopting: received) }
        #expect(bptest_wait_readable(reading.number, 30_000) == 1)
        #expect(bp_read(reading.number, &byte, 1) == 0)
    }
}
