package import ProcessImage
import System

/// A packed image as bytes that a test can damage, and whose checksums it can make right again.
package struct PackedBytes {
    package var bytes: [UInt8]

    package static let tablePlace = 56
    private static let blockByteCount = 16384

    package init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// What the packer makes of some bytes.
    package init(packing image: [UInt8]) throws(CaptureError) {
        let packed = try ImagePacker.pack(image.span.bytes)
        var bytes: [UInt8] = []
        do throws(SystemCallError) {
            let mapping = try OwnedMapping(
                of: packed.descriptor.number, byteCount: packed.byteCount, isWritable: false)
            bytes = Array(mapping.bytes)
        } catch {
            throw .system(error)
        }
        self.bytes = bytes
    }

    package func load<T: FixedWidthInteger & BitwiseCopyable>(_ place: Int, as type: T.Type) -> T {
        T(littleEndian: bytes.span.bytes.unsafeLoadUnaligned(fromByteOffset: place, as: T.self))
    }

    package mutating func store<T: FixedWidthInteger & BitwiseCopyable>(_ value: T, at place: Int) {
        withUnsafeBytes(of: value.littleEndian) { value in
            for index in 0..<value.count { bytes[place + index] = value[index] }
        }
    }

    /// Reads header and tables.
    package func parse() throws(PackedImageError) -> PackedHeader {
        try PackedHeader.parse(prefix: bytes.span.bytes)
    }

    /// Computes the checksums anew where the header leaves a place for them. Any bytes will do.
    package mutating func repair() {
        guard bytes.count >= Self.tablePlace, let prefix = Int(exactly: load(40, as: UInt64.self)),
            (Self.tablePlace...bytes.count).contains(prefix)
        else { return }
        let segmentByteCount = Int(load(12, as: UInt32.self))
        let unpacked = Int(clamping: load(16, as: UInt64.self))
        if segmentByteCount > 0, unpacked < 1 << 40 {
            let segments = (unpacked + segmentByteCount - 1) / segmentByteCount
            repairBlocks(from: (Self.tablePlace + 4 * segments + 7) & ~7, prefix: prefix)
        }
        let hash = ImageChecksum.ofPrefix(
            bytes.span.bytes.extracting(first: prefix), fieldOffset: 32)
        store(hash, at: 32)
    }

    private mutating func repairBlocks(from table: Int, prefix: Int) {
        var start = 0
        var place = table
        while start < bytes.count, place + 8 <= prefix {
            let end = min(start + Self.blockByteCount, bytes.count)
            let range = min(max(start, prefix), end)..<end
            let sum = range.isEmpty ? 0 : ImageChecksum.of(bytes.span.bytes.extracting(range))
            store(sum, at: place)
            start = end
            place += 8
        }
    }
}
