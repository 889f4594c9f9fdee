import CBlockWriter
import CSystem
public import System

/// A block on its way: a program that writes some bytes into files of its node.
public struct BlockProgram: Sendable {
    /// Where bytes go: the temporary file as it is called if the target is a directory, and if it
    /// is not.
    public struct Place: Equatable, Sendable {
        public var path: [UInt8]
        public var otherPath: [UInt8]?

        public init(path: [UInt8], otherPath: [UInt8]?) {
            self.path = path
            self.otherPath = otherPath
        }
    }

    private struct Extent {
        var file: UInt32
        var place: Place
        var offset: UInt64
        var bytes: [UInt8]
    }

    /// More files than that hold too many descriptors on the nodes.
    public static let extentLimit = 128

    private var extents: [Extent] = []
    public private(set) var byteCount = 0

    public init() {}

    public var isEmpty: Bool { extents.isEmpty }
    public var isFull: Bool { extents.count >= Self.extentLimit }
    /// The numbers of the files in it.
    public var files: Set<UInt32> { Set(extents.map(\.file)) }

    /// - Parameter offset: in the file.
    public mutating func add(
        _ bytes: [UInt8], file: UInt32, at offset: UInt64, place: Place
    ) {
        byteCount += bytes.count
        extents.append(Extent(file: file, place: place, offset: offset, bytes: bytes))
    }

    /// The program as a sealed file in memory, to be executed by its /proc path.
    public func makeFile() throws(SystemCallError) -> OwnedDescriptor {
        let file = OwnedDescriptor(
            adopting: Int32(try check("create block", unsafe bp_image_file("bpcp", 1))))
        try check("write block", unsafe bp_image_write(file.number, code, code.count))
        let block = block
        try check("write block", unsafe bp_image_write(file.number, block, block.count))
        try check("seal block", bp_image_seal(file.number))
        return file
    }

    private static let page = 4096

    /// Header and code, up to the next page.
    private var code: [UInt8] {
        let code = unsafe bp_block_code()
        let text = unsafe [UInt8](
            UnsafeBufferPointer(start: code.bytes, count: code.byte_count))
        let entry = unsafe BP_BLOCK_CODE_ADDRESS + UInt64(Self.page + code.entry)
        let byteCount = Self.page + text.count
        let paddedByteCount = (byteCount + Self.page - 1) / Self.page * Self.page
        let header = ElfProgram(entry: entry).header(segments: [
            .init(
                flags: ElfProgram.readExecute, address: BP_BLOCK_CODE_ADDRESS, fileOffset: 0,
                byteCount: byteCount),
            .init(
                flags: ElfProgram.read, address: BP_BLOCK_DATA_ADDRESS,
                fileOffset: paddedByteCount, byteCount: blockByteCount),
        ])
        var bytes = header + [UInt8](repeating: 0, count: Self.page - header.count) + text
        bytes += [UInt8](repeating: 0, count: paddedByteCount - bytes.count)
        return bytes
    }

    private static let headByteCount = 8
    private static let extentByteCount = 32

    private var pathByteCount: Int {
        extents.reduce(0) { $0 + $1.place.path.count + 1 + ($1.place.otherPath?.count ?? -1) + 1 }
    }

    private var blockByteCount: Int {
        Self.headByteCount + extents.count * Self.extentByteCount + pathByteCount + byteCount
    }

    /// CBlockWriter.h has the layout.
    private var block: [UInt8] {
        var block: [UInt8] = []
        block.reserveCapacity(blockByteCount)
        block.append(little: UInt64(extents.count))
        var pathPlace = Self.headByteCount + extents.count * Self.extentByteCount
        var place = pathPlace + pathByteCount
        var paths: [UInt8] = []
        for extent in extents {
            block.append(little: UInt64(place))
            block.append(little: UInt64(extent.bytes.count))
            block.append(little: extent.offset)
            block.append(little: UInt32(pathPlace))
            paths += extent.place.path + [0]
            pathPlace += extent.place.path.count + 1
            block.append(little: UInt32(extent.place.otherPath == nil ? 0 : pathPlace))
            if let other = extent.place.otherPath {
                paths += other + [0]
                pathPlace += other.count + 1
            }
            place += extent.bytes.count
        }
        block += paths
        for extent in extents { block += extent.bytes }
        precondition(block.count == blockByteCount, "the block is as long as its header says")
        return block
    }
}

/// The first bytes of an ELF executable for x86-64 (System V ABI, chapters 4 and 5).
struct ElfProgram {
    struct Segment {
        var flags: UInt32
        var address: UInt64
        var fileOffset: Int
        var byteCount: Int
    }

    static let read: UInt32 = 4
    static let readWrite: UInt32 = 6
    static let readExecute: UInt32 = 5

    let entry: UInt64

    func header(segments: [Segment]) -> [UInt8] {
        var bytes: [UInt8] = [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1] + [UInt8](repeating: 0, count: 9)
        bytes.append(little: UInt16(2))  // ET_EXEC
        bytes.append(little: UInt16(62))  // EM_X86_64
        bytes.append(little: UInt32(1))
        bytes.append(little: entry)
        bytes.append(little: UInt64(64))  // the program headers follow
        bytes.append(little: UInt64(0))
        bytes.append(little: UInt32(0))
        for word in [64, 56, segments.count + 1, 64, 0, 0] {
            bytes.append(little: UInt16(word))
        }
        for segment in segments { append(segment, type: 1, to: &bytes) }
        // Without it the kernel would make the stack executable.
        let stack = Segment(flags: Self.readWrite, address: 0, fileOffset: 0, byteCount: 0)
        append(stack, type: 0x6474_e551, to: &bytes)
        return bytes
    }

    private func append(_ segment: Segment, type: UInt32, to bytes: inout [UInt8]) {
        bytes.append(little: type)
        bytes.append(little: segment.flags)
        bytes.append(little: UInt64(segment.fileOffset))
        bytes.append(little: segment.address)
        bytes.append(little: segment.address)
        bytes.append(little: UInt64(segment.byteCount))
        bytes.append(little: UInt64(segment.byteCount))
        bytes.append(little: UInt64(4096))
    }
}
