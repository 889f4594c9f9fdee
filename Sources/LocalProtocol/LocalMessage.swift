package import CLocalProtocol

/// A message of the local protocol. As bytes: the C structs of `bproc_local.h`, one after the
/// other.
package struct LocalMessage: Sendable {
    package let header: bproc_local_header
    package let body: [UInt8]

    package var kind: bproc_local_kind { bproc_local_kind(rawValue: UInt32(header.kind)) }
    /// Chosen by the asker, repeated in the answer.
    package var request: UInt32 { header.request }

    /// The message as it came.
    package var bytes: [UInt8] { Self.bytes(of: header) + body }

    package static let headerByteCount = MemoryLayout<bproc_local_header>.size

    /// The struct that the body begins with, or nil if it is too short for it.
    package func load<T: BitwiseCopyable>(_ type: T.Type) -> T? { Self.load(type, from: body) }

    /// A whole message: header, then `body`.
    package static func bytes(_ kind: bproc_local_kind, request: UInt32 = 0, body: [UInt8] = [])
        -> [UInt8]
    {
        var header = bproc_local_header()
        header.magic = UInt32(BPROC_LOCAL_MAGIC)
        header.version = UInt16(BPROC_LOCAL_VERSION)
        header.kind = UInt16(kind.rawValue)
        header.body_bytes = UInt32(body.count)
        header.request = request
        return bytes(of: header) + body
    }

    /// A whole message that refuses a request.
    package static func refusal(
        request: UInt32, errorNumber: Int32, reason: String
    ) -> [UInt8] {
        var raw = bproc_local_refused()
        raw.error = errorNumber
        var body = bytes(of: raw)
        put(
            reason, into: &body, at: MemoryLayout<bproc_local_refused>.offset(of: \.reason)!,
            capacity: Int(BPROC_LOCAL_REASON_LEN))
        return bytes(BPROC_LOCAL_REFUSED, request: request, body: body)
    }

    /// The bytes of one struct, padding included.
    package static func bytes<T: BitwiseCopyable>(of value: T) -> [UInt8] {
        unsafe withUnsafeBytes(of: value) { unsafe Array($0) }
    }

    /// Reads a struct that begins at `offset`, or nil if it does not fit.
    package static func load<T: BitwiseCopyable>(
        _ type: T.Type, from bytes: [UInt8], at offset: Int = 0
    )
        -> T?
    {
        guard offset >= 0, offset + MemoryLayout<T>.size <= bytes.count else { return nil }
        return unsafe bytes.withUnsafeBytes {
            // In range: checked above. The struct is plain bytes.
            unsafe $0.loadUnaligned(fromByteOffset: offset, as: T.self)
        }
    }

    /// Takes the first whole message off what was received, or nil if it is still on its way.
    package static func take(
        from received: inout [UInt8]
    ) throws(LocalProtocolError) -> LocalMessage? {
        guard let header = load(bproc_local_header.self, from: received) else { return nil }
        guard header.magic == UInt32(BPROC_LOCAL_MAGIC) else { throw .badMagic }
        guard header.version == UInt16(BPROC_LOCAL_VERSION) else {
            throw .versionMismatch(theirs: header.version)
        }
        guard header.body_bytes <= UInt32(BPROC_LOCAL_BODY_MAX) else {
            throw .tooLarge(byteCount: header.body_bytes)
        }
        let end = headerByteCount + Int(header.body_bytes)
        guard received.count >= end else { return nil }
        let body = Array(received[headerByteCount..<end])
        received.removeFirst(end)
        return LocalMessage(header: header, body: body)
    }

    /// Copies a text into a fixed field of a struct's bytes, always ended by a NUL.
    package static func put(
        _ text: String, into bytes: inout [UInt8], at offset: Int, capacity: Int
    ) {
        let kept = text.utf8.prefix(capacity - 1)
        for (index, byte) in kept.enumerated() { bytes[offset + index] = byte }
    }
}
