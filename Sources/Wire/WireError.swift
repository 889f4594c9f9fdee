/// Why bytes from a peer were not understood. Every case names what was found and what was allowed.
public enum WireError: Error, Equatable, CustomStringConvertible {
    case badMagic(UInt16)
    case versionMismatch(theirs: UInt8, ours: UInt8)
    case unknownKind(UInt8)
    case bodyTooLarge(kind: FrameKind, byteCount: UInt32, limit: UInt32)
    case bodyTooSmall(kind: FrameKind, byteCount: UInt32, needed: UInt32)
    case unexpectedTag(byteCount: UInt16)
    case truncated(field: String, needed: Int, available: Int)
    case trailingBytes(count: Int)
    case countTooLarge(field: String, count: UInt64, limit: UInt64)
    case invalidValue(field: String, value: UInt64)
    case invalidText(field: String)

    public var description: String {
        switch self {
        case .badMagic(let found):
            "not a bproc frame: magic 0x\(String(found, radix: 16)), "
                + "expected 0x\(String(FrameHeader.magic, radix: 16))"
        case .versionMismatch(let theirs, let ours):
            "the peer speaks protocol version \(theirs), this side speaks \(ours)"
        case .unknownKind(let kind): "unknown frame kind \(kind)"
        case .bodyTooLarge(let kind, let byteCount, let limit):
            "a \(kind) frame claims \(byteCount) bytes, at most \(limit) are allowed"
        case .bodyTooSmall(let kind, let byteCount, let needed):
            "a \(kind) frame has \(byteCount) bytes, it needs at least \(needed)"
        case .unexpectedTag(let byteCount):
            "a frame carries a tag of \(byteCount) bytes, but tags are not in use"
        case .truncated(let field, let needed, let available):
            "\(field) needs \(needed) bytes, \(available) are left"
        case .trailingBytes(let count): "\(count) bytes follow the end of the message"
        case .countTooLarge(let field, let count, let limit):
            "\(field) is \(count), at most \(limit) is allowed"
        case .invalidValue(let field, let value): "\(field) has the invalid value \(value)"
        case .invalidText(let field): "\(field) is not valid UTF-8"
        }
    }
}
