/// Puts fields behind each other, little-endian.
public struct WireWriter {
    public private(set) var bytes: [UInt8] = []

    public init(reservingByteCount byteCount: Int = 0) {
        bytes.reserveCapacity(byteCount)
    }

    public mutating func write<T: FixedWidthInteger>(_ value: T) {
        var rest = value.littleEndian
        for _ in 0..<MemoryLayout<T>.size {
            bytes.append(UInt8(truncatingIfNeeded: rest))
            if MemoryLayout<T>.size > 1 { rest >>= 8 }
        }
    }

    public mutating func write(_ other: [UInt8]) {
        bytes.append(contentsOf: other)
    }

    public mutating func write(_ other: ArraySlice<UInt8>) {
        bytes.append(contentsOf: other)
    }

    /// A text with its byte count before it, cut at a character border if it is longer than
    /// `limit`.
    public mutating func write(text: String, limit: Int) {
        var kept = Substring(text)
        while kept.utf8.count > limit { kept = kept.dropLast() }
        write(UInt32(kept.utf8.count))
        bytes.append(contentsOf: kept.utf8)
    }

    /// Replaces a count that was not known when its place was written.
    public mutating func overwrite(_ value: UInt32, at offset: Int) {
        for index in 0..<4 {
            bytes[offset + index] = UInt8(truncatingIfNeeded: value >> (8 * index))
        }
    }
}
