/// Takes fields off the front of a message body; every step checks what is left first.
public struct WireReader {
    private let bytes: [UInt8]
    private var position: Int
    private let end: Int

    public init(_ bytes: [UInt8]) {
        self.init(bytes, in: 0..<bytes.count)
    }

    public init(_ bytes: [UInt8], in range: Range<Int>) {
        precondition(range.lowerBound >= 0 && range.upperBound <= bytes.count)
        self.bytes = bytes
        position = range.lowerBound
        end = range.upperBound
    }

    public var remainingByteCount: Int { end - position }
    public var offset: Int { position }

    public mutating func read<T: FixedWidthInteger & BitwiseCopyable>(
        _ type: T.Type = T.self, _ field: @autoclosure () -> String
    ) throws(WireError) -> T {
        let byteCount = MemoryLayout<T>.size
        guard byteCount <= remainingByteCount else {
            throw .truncated(field: field(), needed: byteCount, available: remainingByteCount)
        }
        // In range: checked above.
        let value = unsafe bytes.span.bytes.unsafeLoadUnaligned(
            fromByteOffset: position, as: T.self)
        position += byteCount
        return T(littleEndian: value)
    }

    public mutating func readBytes(_ count: Int, _ field: @autoclosure () -> String)
        throws(WireError) -> [UInt8]
    {
        let range = try skip(count, field())
        return Array(bytes[range])
    }

    /// Steps over `count` bytes and answers where they lie in the underlying array.
    public mutating func skip(_ count: Int, _ field: @autoclosure () -> String)
        throws(WireError) -> Range<Int>
    {
        guard count >= 0, count <= remainingByteCount else {
            throw .truncated(field: field(), needed: count, available: remainingByteCount)
        }
        defer { position += count }
        return position..<(position + count)
    }

    /// A count of things of `elementByteCount` bytes each that must still fit into what is left, so
    /// that a lying count is refused before anything is reserved for it.
    public mutating func readCount(
        elementByteCount: Int, limit: Int, _ field: @autoclosure () -> String
    ) throws(WireError) -> Int {
        let count = Int(try read(UInt32.self, field()))
        guard count <= limit else {
            throw .countTooLarge(field: field(), count: UInt64(count), limit: UInt64(limit))
        }
        guard count * elementByteCount <= remainingByteCount else {
            throw .truncated(
                field: field(), needed: count * elementByteCount, available: remainingByteCount)
        }
        return count
    }

    public mutating func readText(limit: Int, _ field: @autoclosure () -> String)
        throws(WireError) -> String
    {
        let count = try readCount(elementByteCount: 1, limit: limit, field())
        let range = try skip(count, field())
        guard let text = String(validating: bytes[range], as: UTF8.self) else {
            throw .invalidText(field: field())
        }
        return text
    }

    /// Refuses bytes that nothing has asked for.
    public func finish() throws(WireError) {
        guard remainingByteCount == 0 else { throw .trailingBytes(count: remainingByteCount) }
    }
}
