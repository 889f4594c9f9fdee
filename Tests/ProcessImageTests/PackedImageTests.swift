import Glibc
import ImageSamples
import ProcessImage
import System
import Testing

/// Images in the form that travels: packed, damaged, lied about, unpacked.
@Suite struct PackedImageTests {
    private static func noise(_ count: Int) -> [UInt8] {
        var generator = Generator(state: 11)
        return (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
    }

    private static func text(_ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: ($0 / 5 &* 7) % 61 + 32) }
    }

    /// Verifies and unpacks a whole file.
    private static func unpack(_ packed: PackedBytes) throws(PackedImageError) -> [UInt8] {
        let span = packed.bytes.span.bytes
        let header = try PackedHeader.parse(prefix: span)
        try header.verify(file: span)
        var image = [UInt8](repeating: 0, count: header.unpackedByteCount)
        for segment in 0..<header.segmentCount {
            var whole = image.mutableSpan
            var raw = whole.mutableBytes
            var target = raw._mutatingExtracting(header.imageRange(ofSegment: segment))
            try header.unpack(
                segment: segment, from: span.extracting(header.fileRange(ofSegment: segment)),
                into: &target)
        }
        return image
    }

    private static func isPacked(_ bytes: [UInt8]) -> Bool {
        PackedHeader.isPacked(bytes.span.bytes)
    }

    private static func error(_ packed: PackedBytes) -> PackedImageError? {
        do throws(PackedImageError) {
            _ = try unpack(packed)
            return nil
        } catch {
            return error
        }
    }

    /// Some 200 KB in four segments: text, noise, text and noise, a short one.
    private static let mixed = text(70_000) + noise(65_536) + text(80_000) + noise(3000)
    private static let packed: PackedBytes = {
        guard let packed = try? PackedBytes(packing: mixed) else {
            preconditionFailure("cannot pack")
        }
        return packed
    }()

    // MARK: Round trip

    @Test(arguments: [1, 2, 255, 4096, 65_535, 65_536, 65_537, 131_072, 200_001, 1_000_000])
    func whatIsPackedIsUnpacked(count: Int) throws {
        for image in [Self.text(count), Self.noise(count), [UInt8](repeating: 0, count: count)] {
            let packed = try PackedBytes(packing: image)
            #expect(Self.isPacked(packed.bytes))
            #expect(try Self.unpack(packed) == image)
            let header = try packed.parse()
            #expect(header.packedByteCount == packed.bytes.count)
            #expect(header.unpackedByteCount == count)
            // The worst case costs header and tables, and nothing else.
            #expect(packed.bytes.count <= count + count / 1024 + 256)
        }
    }

    @Test func aRealImageShrinksAndComesBack() throws {
        let image = ImageBytes.original.bytes
        let packed = try PackedBytes(packing: image)
        #expect(packed.bytes.count < image.count)
        #expect(try Self.unpack(packed) == image)
        #expect(!Self.isPacked(image))
    }

    @Test func thePackedFileIsSealed() throws {
        let packed = try ImagePacker.pack(Self.mixed.span.bytes)
        let seals = fcntl(packed.descriptor.number, 1034)  // F_GET_SEALS
        #expect(seals & 0xe == 0xe)
        #expect(packed.byteCount == Self.packed.bytes.count)
    }

    /// A chunk is a multiple of a block: what has come is checked to its last byte.
    @Test func blocksCoverEverythingBehindThePrefix() throws {
        let header = try Self.packed.parse()
        var end = header.prefixByteCount
        for block in 0..<header.blockCount {
            let range = header.fileRange(ofBlock: block)
            if range.isEmpty { continue }
            #expect(range.lowerBound == end)
            #expect(range.upperBound % 16384 == 0 || range.upperBound == header.packedByteCount)
            end = range.upperBound
        }
        #expect(end == header.packedByteCount)
    }

    // MARK: Damage

    @Test func aFlippedByteNamesItsBlock() throws {
        let header = try Self.packed.parse()
        for place in stride(from: header.prefixByteCount, to: header.packedByteCount, by: 4099) {
            var damaged = Self.packed
            damaged.bytes[place] ^= 0x10
            guard case .blockChecksum(let block, let offset, _, _)? = Self.error(damaged) else {
                Issue.record("byte \(place): \(String(describing: Self.error(damaged)))")
                continue
            }
            #expect(block == place / 16384)
            #expect(offset == header.fileRange(ofBlock: block).lowerBound)
        }
    }

    @Test func everyByteOfThePrefixCounts() throws {
        let prefix = try Self.packed.parse().prefixByteCount
        for place in 0..<prefix {
            var damaged = Self.packed
            damaged.bytes[place] ^= 1
            #expect(Self.error(damaged) != nil, "byte \(place)")
        }
    }

    @Test func anEarlyEndIsNamed() throws {
        let prefix = try Self.packed.parse().prefixByteCount
        for count in [0, 1, 55, 56, prefix - 1] {
            let start = Array(Self.packed.bytes.prefix(count))
            guard case .cutShort? = Self.error(PackedBytes(start)) else {
                Issue.record("\(count): \(String(describing: Self.error(PackedBytes(start))))")
                continue
            }
        }
        let short = PackedBytes(Array(Self.packed.bytes.dropLast()))
        guard case .cutShort(part: "data", _, _)? = Self.error(short) else {
            Issue.record("\(String(describing: Self.error(short)))")
            return
        }
    }

    // MARK: Lies, with every checksum right

    private static func lie(_ change: (inout PackedBytes) -> Void) -> PackedImageError? {
        var packed = Self.packed
        change(&packed)
        packed.repair()
        return error(packed)
    }

    private static func isOutOfBounds(_ error: PackedImageError?, _ field: String) -> Bool {
        guard case .outOfBounds(field, _, _, _)? = error else { return false }
        return true
    }

    @Test func sizesHaveBounds() {
        for value: UInt64 in [0, 1 << 36 + 1, 1 << 60, .max] {
            #expect(
                Self.isOutOfBounds(Self.lie { $0.store(value, at: 16) }, "unpacked byte count"))
            #expect(
                Self.isOutOfBounds(Self.lie { $0.store(value, at: 24) }, "packed byte count"))
            // So wrong that nothing can be repaired; still a sentence and no trap.
            #expect(Self.lie { $0.store(value, at: 40) } != nil)
        }
        for value: UInt32 in [0, 1, 4095, 4 << 20 + 1, .max] {
            #expect(
                Self.isOutOfBounds(Self.lie { $0.store(value, at: 12) }, "segment byte count"))
        }
        #expect(Self.lie { $0.store(UInt32(2), at: 8) } == .unknownVersion(2, known: 1))
        #expect(Self.lie { $0.bytes[52] = 1 } != nil)
        #expect(Self.lie { $0.bytes[48] = 1 } != nil)
    }

    @Test func aTableThatPromisesMoreThanLZ4CanIsRefused() {
        // 64 GiB out of 200 KB: the table would have to be longer than the file.
        #expect(
            Self.isOutOfBounds(
                Self.lie { $0.store(UInt64(1) << 36, at: 16) }, "end of the tables"))
        for value: UInt32 in [0, 1, 257, 65_537, .max] {
            let error = Self.lie { $0.store(value, at: PackedBytes.tablePlace) }
            #expect(Self.isOutOfBounds(error, "byte count of segment 0"), "\(value)")
        }
        // 65536 bytes of 258 are possible; then the segments end too early.
        guard case .segmentsEnd? = Self.lie({ $0.store(UInt32(258), at: PackedBytes.tablePlace) })
        else {
            Issue.record("258 bytes are taken for a segment that has more")
            return
        }
    }

    @Test func segmentsMustFillTheFile() throws {
        let first = Self.packed.load(PackedBytes.tablePlace, as: UInt32.self)
        for change: Int32 in [-1, 1] {
            let error = Self.lie {
                $0.store(UInt32(Int32(first) + change), at: PackedBytes.tablePlace)
            }
            guard case .segmentsEnd? = error else {
                Issue.record("\(String(describing: error))")
                continue
            }
        }
    }

    @Test func aSegmentThatDoesNotUnpackIsNamed() throws {
        let header = try Self.packed.parse()
        let range = header.fileRange(ofSegment: 2)
        let garbage = Self.lie { packed in
            for place in range { packed.bytes[place] = 0xff }
        }
        #expect(
            garbage
                == .segmentDoesNotUnpack(
                    segment: 2, fileOffset: range.lowerBound, byteCount: 65_536))
        // Two segments of another length each: they unpack, but not to what their place is.
        let shifted = Self.lie { packed in
            packed.store(UInt64(Self.mixed.count - 1), at: 16)
        }
        #expect(shifted != nil)
    }
}
