import CRestore

/// What the first bytes of an image say, checked: nothing in it is believed that was not compared
/// with a bound, and nothing is allocated before its size was.
///
/// The prefix (header, stub, tables) is streamed first, so a node can refuse an image, or prepare
/// for it, before any data arrives. FORMAT.md has the bytes.
public struct ImageHeader: Sendable {
    /// Header, stub and tables, in bytes; where the data part begins.
    public let prefixByteCount: Int
    /// The whole file, in bytes.
    public let totalByteCount: Int
    /// Bytes of one checksum block of the data part; the last one may be shorter.
    public let blockByteCount: Int
    /// XXH3-64 of each block of the data part.
    public let checksums: [UInt64]
    /// XXH3-64 of the prefix: names the image.
    public let prefixHash: UInt64
    /// The process name (comm), at most 15 bytes.
    public let name: String
    public let regions: [Region]
    public let neededFeatures: CPUFeatures
    /// A script's interpreter wants to open its script under /proc/self/fd.
    public let needsProc: Bool
    /// Descriptor numbers that embedded files will have.
    public let fileDescriptors: [UInt32]
    /// Whether the program has a place in its environment for a rank.
    public let hasRankSlot: Bool
    public let registerOrigin: RegisterOrigin
    /// The program's own code or its dynamic linker ran before the image was taken.
    public let hasStarted: Bool
    /// Where the stub and its tables are mapped.
    public let home: Range<UInt64>

    public struct Region: Sendable, Equatable {
        public let address: UInt64
        public let byteCount: UInt64
        /// PROT_READ 1, PROT_WRITE 2, PROT_EXEC 4.
        public let protection: UInt32
        public let isStack: Bool
        /// Bytes that come from the file; the rest is zero memory.
        public let dataByteCount: UInt64
        /// XXH3-64 over those bytes in order; 0 if there are none.
        public let hash: UInt64
        /// File offset of the first of those bytes; they lie together in the file.
        public let fileOffset: UInt64
    }

    public enum RegisterOrigin: UInt32, Sendable {
        /// A program that the capture stopped.
        case stoppedProgram = 0
        /// A caller that waits and left a register record.
        case waitingCaller = 1
    }

    /// The format's version that this code reads and writes.
    public static let version = Int(BP_IMAGE_VERSION)

    /// Bytes from the start of the file that `prefixByteCount(of:)` and the peeks need.
    public static let peekByteCount = Int(BP_IMAGE_PAGE)

    /// The prefix's length, from the first `peekByteCount` bytes of an image that is still
    /// arriving.
    public static func prefixByteCount(of start: borrowing RawSpan) throws(ImageError) -> Int {
        Int(try FixedHeader(start).raw.prefix_byte_count)
    }

    /// The whole file's length, from the same bytes.
    public static func totalByteCount(of start: borrowing RawSpan) throws(ImageError) -> Int {
        Int(try FixedHeader(start).raw.total_byte_count)
    }

    /// Reads and checks a complete prefix. More bytes may follow it.
    public static func parse(prefix bytes: borrowing RawSpan) throws(ImageError) -> ImageHeader {
        try ImageHeader(bytes)
    }

    private init(_ bytes: borrowing RawSpan) throws(ImageError) {
        let fixed = try FixedHeader(bytes)
        let raw = fixed.raw
        let prefixByteCount = Int(raw.prefix_byte_count)
        guard bytes.byteCount >= prefixByteCount else {
            throw .cutShort(part: "prefix", byteCount: bytes.byteCount, needed: prefixByteCount)
        }
        let prefix = bytes.extracting(first: prefixByteCount)
        let hash = ImageChecksum.ofPrefix(prefix, fieldOffset: FixedHeader.hashFieldOffset)
        guard hash == raw.prefix_hash else {
            throw .prefixChecksum(found: hash, expected: raw.prefix_hash)
        }
        let tables = try ImageTables(raw: raw, prefix: prefix)
        self.prefixByteCount = prefixByteCount
        totalByteCount = Int(raw.total_byte_count)
        blockByteCount = Int(raw.checksum_block_byte_count)
        prefixHash = raw.prefix_hash
        checksums = tables.checksums
        regions = tables.regions
        name = fixed.name
        neededFeatures = CPUFeatures(words: raw.features)
        needsProc = !tables.files.isEmpty
        fileDescriptors = tables.files.map(\.descriptor)
        hasRankSlot = tables.slots.contains { $0.kind == BP_IMAGE_SLOT_RANK.rawValue }
        guard let origin = RegisterOrigin(rawValue: raw.register_origin) else {
            throw .outOfBounds(
                field: "register origin", value: UInt64(raw.register_origin), lowest: 0, highest: 1)
        }
        registerOrigin = origin
        hasStarted = raw.flags & UInt32(BP_IMAGE_STARTED.rawValue) != 0
        home = fixed.home
    }

    /// Bytes of memory that the program's regions span, touched or not.
    public var memoryByteCount: UInt64 { regions.reduce(0) { $0 + $1.byteCount } }

    /// Features that the image needs and `local` lacks, by name; empty if it can run there.
    public func missingFeatures(on local: CPUFeatures) -> [String] {
        neededFeatures.subtracting(local).names
    }

    /// Number of checksum blocks of the data part.
    public var blockCount: Int { checksums.count }

    /// Where a block lies in the file.
    public func fileRange(ofBlock block: Int) -> Range<Int> {
        let start = prefixByteCount + block * blockByteCount
        return start..<min(start + blockByteCount, totalByteCount)
    }

    /// Checks one block of the data part. `bytes` are that block's bytes, all of them. Allocates
    /// nothing.
    public func verify(block: Int, bytes: borrowing RawSpan) throws(ImageError) {
        let range = fileRange(ofBlock: block)
        guard bytes.byteCount == range.count else {
            throw .cutShort(part: "block", byteCount: bytes.byteCount, needed: range.count)
        }
        let found = ImageChecksum.of(bytes)
        guard found == checksums[block] else {
            throw .blockChecksum(
                block: block, fileOffset: range.lowerBound, found: found,
                expected: checksums[block])
        }
    }

    /// Checks every block of a complete image in memory.
    public func verify(image bytes: borrowing RawSpan) throws(ImageError) {
        guard bytes.byteCount >= totalByteCount else {
            throw .cutShort(part: "data", byteCount: bytes.byteCount, needed: totalByteCount)
        }
        for block in 0..<blockCount {
            try verify(block: block, bytes: bytes.extracting(fileRange(ofBlock: block)))
        }
    }
}
