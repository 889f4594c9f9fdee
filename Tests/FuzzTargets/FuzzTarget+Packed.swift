import ImageSamples
import ProcessImage

/// Packed images: header, tables, and the LZ4 blocks that they lead to.
extension FuzzTarget {
    static let packedTargets: [FuzzTarget] = [
        FuzzTarget(
            "packed-image", runCount: 6000, focus: [0..<120],
            seeds: { packedSeeds },
            repair: { bytes in
                var packed = PackedBytes(bytes)
                packed.repair()
                bytes = packed.bytes
            },
            run: { bytes in unpack(bytes) })
    ]

    /// One that shrinks, one that does not, one with a short last segment of each kind.
    private static var packedSeeds: [[UInt8]] {
        let text = (0..<40_000).map { UInt8(truncatingIfNeeded: $0 / 7 % 90 + 32) }
        var noise = [UInt8](repeating: 0, count: 5000)
        var state: UInt64 = 88_172_645_463_325_252
        for index in noise.indices {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            noise[index] = UInt8(truncatingIfNeeded: state)
        }
        let images = [text, noise, [7], text + text + noise]
        return images.compactMap { (try? PackedBytes(packing: $0))?.bytes }
    }

    /// More than any seed has: a damaged table may promise more, which is not fetched.
    private static let unpackedByteLimit = 1 << 20

    private static func unpack(_ bytes: [UInt8]) -> String? {
        let span = bytes.span.bytes
        do throws(PackedImageError) {
            let prefix = try PackedHeader.prefixByteCount(of: span)
            let header = try PackedHeader.parse(prefix: span)
            guard header.prefixByteCount == prefix else { return "two sizes in one header" }
            guard PackedHeader.isPacked(span) else { return "the magic number is forgotten" }
            guard header.segmentCount > 0, header.unpackedByteCount / 255 <= header.packedByteCount
            else { return "more is promised than LZ4 can keep" }
            try header.verify(file: span)
            guard header.unpackedByteCount <= unpackedByteLimit else { return nil }
            // A byte on either side that nobody may touch.
            var target = [UInt8](repeating: 0xa5, count: header.unpackedByteCount + 2)
            var end = prefix
            var imageEnd = 0
            for segment in 0..<header.segmentCount {
                let source = header.fileRange(ofSegment: segment)
                let place = header.imageRange(ofSegment: segment)
                guard source.lowerBound == end, place.lowerBound == imageEnd, !source.isEmpty
                else { return "a gap before segment \(segment)" }
                end = source.upperBound
                imageEnd = place.upperBound
                var whole = target.mutableSpan
                var raw = whole.mutableBytes
                var part = raw._mutatingExtracting(place.lowerBound + 1..<place.upperBound + 1)
                try header.unpack(segment: segment, from: span.extracting(source), into: &part)
            }
            guard end == header.packedByteCount, imageEnd == header.unpackedByteCount else {
                return "the segments end at \(end) and \(imageEnd)"
            }
            return target.first == 0xa5 && target.last == 0xa5 ? nil : "bytes beside the image"
        } catch {
            return error.description.isEmpty ? "an error without a sentence" : nil
        }
    }
}
