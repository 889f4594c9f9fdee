import ProcessImage

/// How far a packed image has come: its tables, the blocks of it that are verified, the segments
/// that lie unpacked in the image.
struct PackedArrival {
    private(set) var header: PackedHeader?
    private var verifiedBlockCount = 0
    private var unpackedSegmentCount = 0

    /// Checks what became complete, given all bytes that have come so far.
    /// - Parameter unpackedByteCount: what the launch says, and room was made for.
    mutating func check(
        _ held: borrowing RawSpan, packedByteCount: Int, unpackedByteCount: Int
    ) throws(PackedImageError) {
        if header == nil {
            guard held.byteCount >= PackedHeader.peekByteCount,
                try PackedHeader.prefixByteCount(of: held) <= held.byteCount
            else { return }
            let header = try PackedHeader.parse(prefix: held)
            try Self.compare("packed byte count", header.packedByteCount, packedByteCount)
            try Self.compare("unpacked byte count", header.unpackedByteCount, unpackedByteCount)
            self.header = header
        }
        guard let header else { return }
        while verifiedBlockCount < header.blockCount {
            let range = header.fileRange(ofBlock: verifiedBlockCount)
            guard range.upperBound <= held.byteCount else { return }
            try header.verify(block: verifiedBlockCount, bytes: held.extracting(range))
            verifiedBlockCount += 1
        }
    }

    private static func compare(
        _ field: String, _ found: Int, _ expected: Int
    ) throws(PackedImageError) {
        guard found == expected else {
            throw .outOfBounds(
                field: field, value: UInt64(found), lowest: UInt64(expected),
                highest: UInt64(expected))
        }
    }

    /// Unpacks the segments that are complete and are not unpacked yet.
    /// - Parameters:
    ///   - held: all bytes that have come and are verified.
    ///   - image: as many bytes as `check` was told that the image has.
    /// - Returns: how many bytes of the image are there now.
    mutating func unpack(
        _ held: borrowing RawSpan, into image: inout MutableRawSpan
    ) throws(PackedImageError) -> Int {
        guard let header else { return 0 }
        while unpackedSegmentCount < header.segmentCount {
            let source = header.fileRange(ofSegment: unpackedSegmentCount)
            guard source.upperBound <= held.byteCount else { break }
            var target = image._mutatingExtracting(
                header.imageRange(ofSegment: unpackedSegmentCount))
            try header.unpack(
                segment: unpackedSegmentCount, from: held.extracting(source), into: &target)
            unpackedSegmentCount += 1
        }
        guard unpackedSegmentCount > 0 else { return 0 }
        return header.imageRange(ofSegment: unpackedSegmentCount - 1).upperBound
    }
}
