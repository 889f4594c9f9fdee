import CSystem
import CTestSupport
import System
import Testing

/// Serial: a test that forks copies the descriptors that others have open at that moment.
@Suite(.serialized) struct ProcessTests {
    @Test func endsOfChildrenAreReaped() throws {
        for (code, expected): (Int32, Int32) in [(7, 0x700), (-15, 15)] {
            var stop: Int32 = -1
            let child = bptest_child(code, &stop)
            try #require(child > 0)
            let number = try check("pidfd", bp_pidfd_open(Int32(child)))
            let pidfd = OwnedDescriptor(adopting: Int32(number))
            #expect(try ChildExit.reap(pidfd: pidfd.number) == nil)
            do { _ = OwnedDescriptor(adopting: stop) }
            #expect(bptest_wait_readable(pidfd.number, 30_000) == 1)
            let exit = try #require(try ChildExit.reap(pidfd: pidfd.number))
            #expect(exit.waitStatus == expected && exit.maximumResidentKilobytes > 0)
            let again = #expect(throws: SystemCallError.self) {
                _ = try ChildExit.reap(pidfd: pidfd.number)
            }
            #expect(again?.errorNumber == 10)
        }
    }

    @Test func childrenAreSignalledAndWaitedFor() throws {
        var stop: Int32 = -1
        let identifier = bptest_child(3, &stop)
        try #require(identifier > 0)
        let number = try check("pidfd", bp_pidfd_open(Int32(identifier)))
        let child = ChildProcess(
            identifier: Int32(identifier), descriptor: OwnedDescriptor(adopting: Int32(number)))
        try child.send(signal: 9)
        #expect(try child.wait() == 9)
        do { _ = OwnedDescriptor(adopting: stop) }
    }

    @Test func signalsComeThroughTheDescriptor() async {
        await #expect(processExitsWith: .exitCode(42)) {
            let signals = Int32(try check("signalfd", bp_signal_descriptor()))
            guard bp_next_signal(signals) == 0 else { bp_exit(1) }
            bptest_raise(15)
            guard bp_next_signal(signals) == 15, bp_next_signal(signals) == 0 else { bp_exit(2) }
            bp_exit(42)
        }
    }

    @Test func limitsAreRaised() async {
        await #expect(processExitsWith: .exitCode(42)) {
            bp_exit(bp_raise_open_files() >= 1024 ? 42 : 1)
        }
    }
}

@Suite struct BulkTests {
    /// A sealed file to a socket by reference, piece by piece, and no further than its end.
    @Test func sealedFilesGoOutByReference() throws {
        let byteCount = 4_000_000
        let file = OwnedDescriptor(
            adopting: Int32(try check("memfd", bp_memfd("bulk", 1))))
        let bytes = (0..<byteCount).map { UInt8($0 * 31 >> 3 & 0xff) }
        #expect(bp_write(file.number, bytes, byteCount) == byteCount)
        try check("seal", bp_seal(file.number))
        var byte: UInt8 = 0
        #expect(bptest_write_at(file.number, &byte, 0) == -1)
        var ends: [Int32] = [-1, -1]
        try check("socketpair", bp_unix_pair(&ends))
        let near = OwnedDescriptor(adopting: ends[0])
        let far = OwnedDescriptor(adopting: ends[1])
        // Sendfile waits on a blocking socket: the test reads before this one is full.
        Socket.setBufferSizes(near.number, sendByteCount: 65_536, receiveByteCount: 65_536)
        var offset = 0
        var received: [UInt8] = []
        while received.count < byteCount {
            if offset < byteCount {
                let count = min(4096, byteCount - offset)
                let sent = try #require(
                    try Bulk.sendFile(
                        from: file.number, offset: offset, byteCount: count, to: near.number))
                offset += sent
            }
            var room = [UInt8](repeating: 0, count: 65_536)
            let count = try room.withUnsafeMutableBytes {
                try Socket.receiveAvailable(far.number, into: $0)
            }
            received += room.prefix(try #require(count))
        }
        let isWhole = received == bytes
        #expect(isWhole)
        // A file that ends early is an error, not a wait for more.
        #expect(throws: SystemCallError.self) {
            _ = try Bulk.sendFile(
                from: file.number, offset: byteCount, byteCount: 1, to: near.number)
        }
    }
}
