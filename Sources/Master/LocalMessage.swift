import CLocalProtocol

/// Messages of the local protocol as bytes: the C structs of `bproc_local.h`, one after the other.
enum LocalMessage {
    static let headerByteCount = MemoryLayout<bproc_local_header>.size

    /// A whole message: header, then `body`.
    static func bytes(_ kind: bproc_local_kind, request: UInt32 = 0, body: [UInt8] = []) -> [UInt8]
    {
        var header = bproc_local_header()
        header.magic = UInt32(BPROC_LOCAL_MAGIC)
        header.version = UInt16(BPROC_LOCAL_VERSION)
        header.kind = UInt16(kind.rawValue)
        header.body_bytes = UInt32(body.count)
        header.request = request
        return bytes(of: header) + body
    }

    /// The bytes of one struct, padding included.
    static func bytes<T: BitwiseCopyable>(of value: T) -> [UInt8] {
        unsafe withUnsafeBytes(of: value) { unsafe Array($0) }
    }

    /// Reads a struct that begins at `offset`, or nil if it does not fit.
    static func load<T: BitwiseCopyable>(_ type: T.Type, from bytes: [UInt8], at offset: Int = 0)
        -> T?
    {
        guard offset >= 0, offset + MemoryLayout<T>.size <= bytes.count else { return nil }
        return unsafe bytes.withUnsafeBytes {
            // In range: checked above. The struct is plain bytes.
            unsafe $0.loadUnaligned(fromByteOffset: offset, as: T.self)
        }
    }

    /// Copies a text into a fixed field of a struct's bytes, always ended by a NUL.
    static func put(_ text: String, into bytes: inout [UInt8], at offset: Int, capacity: Int) {
        let kept = text.utf8.prefix(capacity - 1)
        for (index, byte) in kept.enumerated() { bytes[offset + index] = byte }
    }
}
