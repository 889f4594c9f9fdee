import ProcessImage
import CRestore

extension FuzzTarget {
    static let imageTargets: [FuzzTarget] = [
        FuzzTarget(
            "image", runCount: 6000, focus: [256..<1024, 12288..<15000, 28000..<29200],
            seeds: { [] }, repair: repairImage,
            run: { bytes in image(bytes) }),
        FuzzTarget(
            "restore-record",
            seeds: {
                [BP_STEP_PLACED, BP_STEP_CPU, BP_STEP_LIMITS].map { step in
                    var record = bp_restore_record()
                    record.magic = UInt32(BP_RECORD_MAGIC)
                    record.step = UInt16(step.rawValue)
                    record.stage = 6
                    record.error = 12
                    record.detail = 0x1_0000_0004
                    return withUnsafeBytes(of: record) { Array($0) }
                }
            },
            run: { bytes in
                guard let record = RestoreRecord(bytes.span.bytes) else { return nil }
                return record.failure?.description.isEmpty == true ? "no sentence" : nil
            }),
    ]

    /// Where an image keeps the checksum of its prefix; ProcessImage/FORMAT.md draws it.
    private static let hashPlace = 288
    private static let prefixByteCountPlace = 272

    @Sendable static func repairImage(_ bytes: inout [UInt8]) {
        guard bytes.count >= 4096 else { return }
        let claimed = bytes.span.bytes.unsafeLoadUnaligned(
            fromByteOffset: prefixByteCountPlace, as: UInt64.self)
        guard claimed >= 4096, claimed <= bytes.count else { return }
        let hash = ImageChecksum.ofPrefix(
            bytes.span.bytes.extracting(first: Int(claimed)), fieldOffset: hashPlace)
        for index in 0..<8 {
            bytes[hashPlace + index] = UInt8(truncatingIfNeeded: hash >> UInt64(8 * index))
        }
    }

    private static func image(_ bytes: [UInt8]) -> String? {
        let start = bytes.span.bytes.extracting(first: ImageHeader.peekByteCount)
        do throws(ImageError) {
            let prefix = try ImageHeader.prefixByteCount(of: start)
            let total = try ImageHeader.totalByteCount(of: start)
            let header = try ImageHeader.parse(prefix: bytes.span.bytes)
            guard header.prefixByteCount == prefix, header.totalByteCount == total else {
                return "two sizes in one header"
            }
            var end = prefix
            for block in 0..<header.blockCount {
                let range = header.fileRange(ofBlock: block)
                guard range.lowerBound == end, !range.isEmpty else { return "gap at \(block)" }
                end = range.upperBound
            }
            guard end == total else { return "the blocks end at \(end) of \(total)" }
            _ = header.missingFeatures(on: .local)
            let data = header.regions.reduce(0) { $0 + $1.dataByteCount }
            guard data <= UInt64(total - prefix), header.memoryByteCount < 1 << 47 else {
                return "regions hold more than there is"
            }
            return nil
        } catch {
            return error.description.isEmpty ? "an error without a sentence" : nil
        }
    }
}
