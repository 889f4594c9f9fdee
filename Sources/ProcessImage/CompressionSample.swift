import CLZ4

/// Asks a few blocks whether LZ4 would pay, before all of the data is compressed for nothing.
public enum CompressionSample {
    /// Bytes of one sampled block.
    public static let blockByteCount = 16384
    /// Blocks looked at, spread evenly over the data.
    public static let blockCount = 16

    /// Compressed size over original size, as the sample has it: about 1 for data that LZ4 cannot
    /// shrink, 0.6 for program text. 1 for no data.
    public static func ratio(of data: borrowing RawSpan) -> Double {
        unsafe data.withUnsafeBytes { unsafe ratio(ofBytes: $0) }
    }

    static func ratio(ofBytes data: UnsafeRawBufferPointer) -> Double {
        let count = data.count
        guard count > 0 else { return 1 }
        let blocks = min(blockCount, (count + blockByteCount - 1) / blockByteCount)
        let capacity = Int(LZ4_compressBound(Int32(blockByteCount)))
        var original = 0
        var compressed = 0
        unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: capacity) { target in
            for block in 0..<blocks {
                // Even spacing, at multiples of 64 so that the source stays aligned.
                let space = max(0, count - blockByteCount)
                let start = blocks == 1 ? 0 : (space / (blocks - 1) * block) & ~63
                let end = min(count, start + blockByteCount)
                let source = unsafe UnsafeRawBufferPointer(rebasing: data[start..<end])
                guard let from = source.baseAddress, let to = target.baseAddress else {
                    continue
                }
                let size = unsafe LZ4_compress_default(
                    from.assumingMemoryBound(to: CChar.self), to, Int32(source.count),
                    Int32(capacity))
                original += source.count
                compressed += size > 0 ? Int(size) : source.count
            }
        }
        return original == 0 ? 1 : Double(compressed) / Double(original)
    }
}
