import CLZ4

/// What the first bytes of a packed image say, checked: the sizes, where each segment lies, and the
/// checksums of what travels. FORMAT.md has the bytes.
///
/// Segments are stretches of the image that are packed each by itself; blocks are stretches of the
/// packed file, aligned like the chunks it travels in, that have a checksum each.
public struct PackedHeader: Sendable {
    /// Header and tables, in bytes; where the first segment begins.
    public let prefixByteCount: Int
    /// The whole file, in bytes.
    public let packedByteCount: Int
    /// The image, in bytes.
    public let unpackedByteCount: Int
    /// Bytes of the image in one segment; the last one may be shorter.
    public let segmentByteCount: Int
    /// Where each segment begins in the file, and behind the last one its end.
    private let segmentStarts: [Int]
    private let checksums: [UInt64]

    static let magic: UInt64 = 0x345a_4c43_4f52_5042  // "BPROCLZ4"
    static let version: UInt32 = 1
    static let hashPlace = 32
    static let tablePlace = 56
    /// Divides every chunk, so that a chunk is checked whole before it is passed on.
    static let blockByteCount = 16384
    static let segmentByteCounts: ClosedRange<UInt64> = 4096...(4 << 20)
    /// Larger images travel as they are.
    public static let unpackedByteLimit: UInt64 = 1 << 36
    static let prefixByteLimit: UInt64 = 64 << 20
    /// LZ4 spends a byte on at most 255 bytes: a table that promises more is a lie.
    static let greatestExpansion = 255

    /// Bytes from the start of the file that the peeks need.
    public static let peekByteCount = tablePlace

    /// Whether a file that begins like this is packed, rather than an image as it is.
    public static func isPacked(_ start: borrowing RawSpan) -> Bool {
        start.byteCount >= 8 && load(start, 0, as: UInt64.self) == magic
    }

    /// Header and tables, in bytes, from the first `peekByteCount` bytes of a file that is still
    /// arriving.
    public static func prefixByteCount(
        of start: borrowing RawSpan
    ) throws(PackedImageError) -> Int {
        Int(try Sizes(start).prefix)
    }

    /// Reads and checks header and tables. More bytes may follow them.
    public static func parse(
        prefix bytes: borrowing RawSpan
    ) throws(PackedImageError) -> PackedHeader {
        try PackedHeader(bytes)
    }

    private init(_ bytes: borrowing RawSpan) throws(PackedImageError) {
        let sizes = try Sizes(bytes)
        prefixByteCount = Int(sizes.prefix)
        packedByteCount = Int(sizes.packed)
        unpackedByteCount = Int(sizes.unpacked)
        segmentByteCount = Int(sizes.segment)
        guard bytes.byteCount >= prefixByteCount else {
            throw .cutShort(part: "prefix", byteCount: bytes.byteCount, needed: prefixByteCount)
        }
        let prefix = bytes.extracting(first: prefixByteCount)
        let hash = ImageChecksum.ofPrefix(prefix, fieldOffset: Self.hashPlace)
        let expected = Self.load(bytes, Self.hashPlace, as: UInt64.self)
        guard hash == expected else { throw .headerChecksum(found: hash, expected: expected) }
        segmentStarts = try Self.segmentStarts(prefix, sizes)
        checksums = (0..<sizes.blockCount).map {
            Self.load(prefix, sizes.checksumPlace + 8 * $0, as: UInt64.self)
        }
    }

    /// Both tables lie in the prefix: `Sizes` has made sure.
    private static func segmentStarts(
        _ prefix: borrowing RawSpan, _ sizes: Sizes
    ) throws(PackedImageError) -> [Int] {
        var starts: [Int] = []
        starts.reserveCapacity(sizes.segmentCount + 1)
        var end = Int(sizes.prefix)
        starts.append(end)
        for segment in 0..<sizes.segmentCount {
            let count = load(prefix, tablePlace + 4 * segment, as: UInt32.self)
            let whole = min(
                Int(sizes.segment), Int(sizes.unpacked) - segment * Int(sizes.segment))
            let least = (whole + greatestExpansion - 1) / greatestExpansion
            guard (least...whole).contains(Int(count)) else {
                throw .outOfBounds(
                    field: "byte count of segment \(segment)", value: UInt64(count),
                    lowest: UInt64(least), highest: UInt64(whole))
            }
            end += Int(count)
            starts.append(end)
        }
        guard end == Int(sizes.packed) else {
            throw .segmentsEnd(at: UInt64(end), fileByteCount: sizes.packed)
        }
        return starts
    }

    // MARK: Blocks

    public var blockCount: Int { checksums.count }

    /// What a block's checksum covers: its bytes behind the prefix, none if it lies in there whole.
    public func fileRange(ofBlock block: Int) -> Range<Int> {
        let end = min((block + 1) * Self.blockByteCount, packedByteCount)
        let start = max(block * Self.blockByteCount, prefixByteCount)
        return min(start, end)..<end
    }

    /// Checks one block; `bytes` are what its checksum covers. Allocates nothing.
    public func verify(block: Int, bytes: borrowing RawSpan) throws(PackedImageError) {
        let range = fileRange(ofBlock: block)
        guard bytes.byteCount == range.count else {
            throw .cutShort(
                part: "block \(block)", byteCount: bytes.byteCount, needed: range.count)
        }
        let found = range.isEmpty ? 0 : ImageChecksum.of(bytes)
        guard found == checksums[block] else {
            throw .blockChecksum(
                block: block, fileOffset: range.lowerBound, found: found,
                expected: checksums[block])
        }
    }

    /// Checks every block of a complete file in memory.
    public func verify(file bytes: borrowing RawSpan) throws(PackedImageError) {
        guard bytes.byteCount >= packedByteCount else {
            throw .cutShort(
                part: "data", byteCount: bytes.byteCount, needed: packedByteCount)
        }
        for block in 0..<blockCount {
            try verify(block: block, bytes: bytes.extracting(fileRange(ofBlock: block)))
        }
    }

    // MARK: Segments

    public var segmentCount: Int { segmentStarts.count - 1 }

    /// Where a segment's packed bytes lie in the file.
    public func fileRange(ofSegment segment: Int) -> Range<Int> {
        segmentStarts[segment]..<segmentStarts[segment + 1]
    }

    /// Where its unpacked bytes lie in the image.
    public func imageRange(ofSegment segment: Int) -> Range<Int> {
        let start = segment * segmentByteCount
        return start..<min(start + segmentByteCount, unpackedByteCount)
    }

    /// Unpacks one segment. `bytes` are its packed bytes, `target` the image's bytes that it
    /// becomes, both as the ranges above say. Allocates nothing, and writes nowhere else whatever
    /// the bytes are.
    public func unpack(
        segment: Int, from bytes: borrowing RawSpan, into target: inout MutableRawSpan
    ) throws(PackedImageError) {
        let range = fileRange(ofSegment: segment)
        precondition(bytes.byteCount == range.count, "a segment's bytes, all of them")
        precondition(target.byteCount == imageRange(ofSegment: segment).count, "a segment's place")
        let done = unsafe bytes.withUnsafeBytes { packed in
            unsafe target.withUnsafeMutableBytes { unpacked in
                // Neither is empty: segments have at least one byte.
                guard let from = packed.baseAddress, let to = unpacked.baseAddress else {
                    return false
                }
                if packed.count == unpacked.count {
                    unsafe to.copyMemory(from: from, byteCount: packed.count)
                    return true
                }
                let count = unsafe LZ4_decompress_safe(
                    from.assumingMemoryBound(to: CChar.self),
                    to.assumingMemoryBound(to: CChar.self), Int32(packed.count),
                    Int32(unpacked.count))
                return Int(count) == unpacked.count
            }
        }
        guard done else {
            throw .segmentDoesNotUnpack(
                segment: segment, fileOffset: range.lowerBound, byteCount: target.byteCount)
        }
    }

    fileprivate static func load<T: FixedWidthInteger & BitwiseCopyable>(
        _ bytes: borrowing RawSpan, _ place: Int, as type: T.Type
    ) -> T {
        // The span checks the place.
        T(littleEndian: unsafe bytes.unsafeLoadUnaligned(fromByteOffset: place, as: T.self))
    }
}

/// The fields of fixed size, each compared with its bounds, so that nothing computed from them
/// overflows.
private struct Sizes {
    let segment: UInt64
    let unpacked: UInt64
    let packed: UInt64
    let prefix: UInt64

    var segmentCount: Int { Int((unpacked + segment - 1) / segment) }
    var checksumPlace: Int { PackedLayout.checksumPlace(segmentCount: segmentCount) }
    var blockCount: Int { PackedLayout.blockCount(packedByteCount: Int(packed)) }

    init(_ bytes: borrowing RawSpan) throws(PackedImageError) {
        guard bytes.byteCount >= PackedHeader.peekByteCount else {
            throw .cutShort(
                part: "header", byteCount: bytes.byteCount, needed: PackedHeader.peekByteCount)
        }
        let magic = PackedHeader.load(bytes, 0, as: UInt64.self)
        guard magic == PackedHeader.magic else { throw .notPacked(magic: magic) }
        let version = PackedHeader.load(bytes, 8, as: UInt32.self)
        guard version == PackedHeader.version else {
            throw .unknownVersion(version, known: PackedHeader.version)
        }
        segment = UInt64(PackedHeader.load(bytes, 12, as: UInt32.self))
        unpacked = PackedHeader.load(bytes, 16, as: UInt64.self)
        packed = PackedHeader.load(bytes, 24, as: UInt64.self)
        prefix = PackedHeader.load(bytes, 40, as: UInt64.self)
        let block = UInt64(PackedHeader.load(bytes, 48, as: UInt32.self))
        let reserved = UInt64(PackedHeader.load(bytes, 52, as: UInt32.self))
        try Self.check("segment byte count", segment, PackedHeader.segmentByteCounts)
        try Self.check("unpacked byte count", unpacked, 1...PackedHeader.unpackedByteLimit)
        try Self.check(
            "packed byte count", packed, 1...(unpacked + PackedHeader.prefixByteLimit))
        let blockByteCount = UInt64(PackedHeader.blockByteCount)
        try Self.check("checksum block byte count", block, blockByteCount...blockByteCount)
        try Self.check("reserved field", reserved, 0...0)
        let tableEnd = UInt64(checksumPlace + 8 * blockCount)
        let highest = min(packed, PackedHeader.prefixByteLimit)
        guard tableEnd <= highest else {
            throw .outOfBounds(
                field: "end of the tables", value: tableEnd, lowest: 0, highest: highest)
        }
        try Self.check("prefix byte count", prefix, tableEnd...highest)
    }

    private static func check(
        _ field: String, _ value: UInt64, _ range: ClosedRange<UInt64>
    ) throws(PackedImageError) {
        guard range.contains(value) else {
            throw .outOfBounds(
                field: field, value: value, lowest: range.lowerBound, highest: range.upperBound)
        }
    }
}

/// Where the tables lie: the same for who writes and who reads them.
enum PackedLayout {
    /// Behind the segments' byte counts, at a multiple of 8.
    static func checksumPlace(segmentCount: Int) -> Int {
        (PackedHeader.tablePlace + 4 * segmentCount + 7) & ~7
    }

    static func blockCount(packedByteCount: Int) -> Int {
        (packedByteCount + PackedHeader.blockByteCount - 1) / PackedHeader.blockByteCount
    }
}
