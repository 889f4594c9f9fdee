import CLZ4
import CSystem
public import System

/// Writes the form of an image that travels: segments packed by LZ4, each by itself, so that a node
/// unpacks what has come while the rest is on its way.
public enum ImagePacker {
    /// Bytes of the image in one segment. LZ4 looks back at most so far; and for blocks up to this
    /// size its table has twice the entries, so that larger segments shrink less, not more.
    static let segmentByteCount = 64 << 10

    /// A packed image: a sealed memory file.
    public struct Packed: ~Copyable {
        public let descriptor: OwnedDescriptor
        /// The whole file.
        public let byteCount: Int
        public let nanoseconds: UInt64
    }

    /// Packs an image, or whatever the bytes are. A segment that LZ4 cannot shrink is kept as it
    /// is, so that the worst case costs the tables and no more.
    public static func pack(_ image: borrowing RawSpan) throws(CaptureError) -> Packed {
        let start = bp_capture_clock()
        let count = image.byteCount
        guard count > 0, UInt64(count) <= PackedHeader.unpackedByteLimit else {
            throw .tooLarge(
                part: "image to pack", byteCount: UInt64(count),
                limit: PackedHeader.unpackedByteLimit)
        }
        let segmentCount = (count + segmentByteCount - 1) / segmentByteCount
        // The tables come first and their size depends on what follows: room for the worst case.
        let tablePlace = PackedLayout.checksumPlace(segmentCount: segmentCount)
        let worstBlockCount = PackedLayout.blockCount(
            packedByteCount: count + count / 1024 + 2 * PackedHeader.blockByteCount)
        let prefixByteCount = tablePlace + 8 * worstBlockCount
        var file = try ImageFile(name: "bproc packed image", capacity: prefixByteCount + count)
        var end = prefixByteCount
        for segment in 0..<segmentCount {
            let from = segment * segmentByteCount
            let range = from..<min(from + segmentByteCount, count)
            let packed = pack(image.extracting(range), into: &file, at: end)
            file.write(UInt32(packed), at: PackedHeader.tablePlace + 4 * segment)
            end += packed
        }
        file.write(PackedHeader.magic, at: 0)
        file.write(PackedHeader.version, at: 8)
        file.write(UInt32(segmentByteCount), at: 12)
        file.write(UInt64(count), at: 16)
        file.write(UInt64(end), at: 24)
        file.write(UInt64(prefixByteCount), at: 40)
        file.write(UInt32(PackedHeader.blockByteCount), at: 48)
        for block in 0..<PackedLayout.blockCount(packedByteCount: end) {
            let from = max(block * PackedHeader.blockByteCount, prefixByteCount)
            let to = min((block + 1) * PackedHeader.blockByteCount, end)
            if from < to { file.write(file.checksum(from..<to), at: tablePlace + 8 * block) }
        }
        let hash = file.prefixChecksum(
            byteCount: prefixByteCount, fieldOffset: PackedHeader.hashPlace)
        file.write(hash, at: PackedHeader.hashPlace)
        let descriptor = try file.seal(byteCount: end)
        return Packed(
            descriptor: descriptor, byteCount: end, nanoseconds: bp_capture_clock() - start)
    }

    /// Packs one segment to a place in the file. Answers its packed size.
    private static func pack(
        _ segment: borrowing RawSpan, into file: inout ImageFile, at place: Int
    ) -> Int {
        let count = segment.byteCount
        let packed = unsafe segment.withUnsafeBytes { source in
            unsafe file.withBytes(place..<(place + count)) { target in
                guard let from = source.baseAddress, let to = target.baseAddress else {
                    return 0
                }
                // One byte less than there is: what does not get smaller is not worth unpacking.
                let size = unsafe LZ4_compress_default(
                    from.assumingMemoryBound(to: CChar.self),
                    to.assumingMemoryBound(to: CChar.self), Int32(count), Int32(count - 1))
                return Int(size)
            }
        }
        if packed > 0 { return packed }
        file.write(segment, at: place)
        return count
    }
}

extension ImageFile {
    /// Writes a number, little endian.
    fileprivate mutating func write<T: FixedWidthInteger & BitwiseCopyable>(
        _ value: T, at offset: Int
    ) {
        var bytes = value.littleEndian
        unsafe withUnsafeBytes(of: &bytes) { bytes in
            write(unsafe RawSpan(_unsafeBytes: bytes), at: offset)
        }
    }
}
