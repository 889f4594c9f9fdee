import Testing
import Wire
import WireSamples

@Suite struct FrameHeaderTests {
    private func error(_ bytes: [UInt8]) -> WireError? {
        do throws(WireError) {
            _ = try FrameHeader(decoding: bytes.span.bytes)
            return nil
        } catch {
            return error
        }
    }

    /// A ping's header with some bytes replaced.
    private func header(_ changes: [Int: UInt8]) -> [UInt8] {
        var bytes = WireMessage.headerBytes(FrameHeader(.ping))
        for (offset, value) in changes { bytes[offset] = value }
        return bytes
    }

    /// FORMAT.md promises these places.
    @Test func fieldsLieWhereTheFormatSays() {
        let frame = FrameHeader.frame(
            FrameHeader(
                .chunk, launch: 0x1122_3344_5566_7788, subject: 0x99aa_bbcc, stream: 0xddee,
                flags: [.compressed, .final], unpackedByteCount: 0x0102_0304), body: [7, 8, 9])
        #expect(
            frame == [
                0x42, 0x50, 1, 17, 3, 0, 0, 0, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
                0xcc, 0xbb, 0xaa, 0x99, 0xee, 0xdd, 5, 0, 4, 3, 2, 1, 0, 0, 0, 0, 7, 8, 9,
            ])
    }

    @Test func otherMagicAndVersionAreNamed() {
        #expect(error(header([0: 0x47, 1: 0x45])) == .badMagic(0x4547))
        #expect(
            error(header([0: 0x47, 1: 0x45]))?.description
                == "not a bproc frame: magic 0x4547, expected 0x5042")
        #expect(error(header([2: 9])) == .versionMismatch(theirs: 9, ours: 1))
        #expect(
            error(header([2: 9]))?.description
                == "the peer speaks protocol version 9, this side speaks 1")
    }

    @Test func onlyKnownKindsAreTaken() {
        let known = Set(FrameKind.allCases.map(\.rawValue))
        for kind in UInt8.min...UInt8.max {
            let found = error(header([3: kind]))
            #expect(found == (known.contains(kind) ? nil : .unknownKind(kind)))
        }
    }

    @Test func onlyKnownFlagsAreTaken() {
        for bit in 0..<16 {
            let flags = UInt16(1) << bit
            let bytes = header([22: UInt8(flags & 0xff), 23: UInt8(flags >> 8)])
            let expected: WireError? =
                bit < 5 ? nil : .invalidValue(field: "frame flags", value: UInt64(flags))
            #expect(error(bytes) == expected)
        }
        #expect(error(header([28: 1])) == .unexpectedTag(byteCount: 1))
        #expect(error(header([30: 1])) != nil)
        #expect(error(header([31: 1])) != nil)
    }

    @Test(arguments: FrameKind.allCases) func bodiesHaveALimit(_ kind: FrameKind) {
        let most = kind.bodyLimit
        #expect(
            error(WireMessage.headerBytes(FrameHeader(kind, bodyByteCount: most))) == nil)
        for tooMany in [most + 1, UInt32.max] {
            #expect(
                error(WireMessage.headerBytes(FrameHeader(kind, bodyByteCount: tooMany)))
                    == .bodyTooLarge(kind: kind, byteCount: tooMany, limit: most))
        }
    }

    @Test func anotherArchitectureIsRefusedBySentence() {
        let address = NodeAddress(ipv4: 10, 0, 0, 7, port: 5300)
        var hello = Hello(role: .slave, node: 4, address: address, incarnation: 1)
        #expect(hello.refusalSentence(receiver: "the master") == nil)
        hello.architecture = 5
        hello.version = "0.0.9"
        #expect(
            hello.refusalSentence(receiver: "the master")
                == "the master runs on x86-64, the peer (node 4, bproc 0.0.9) runs on PowerPC64: "
                + "one cluster holds one CPU architecture")
    }
}
