/// Why bytes are not a packed image that may be unpacked here: each case names the numbers that are
/// wrong.
public enum PackedImageError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Fewer bytes than the part that was asked for needs.
    case cutShort(part: String, byteCount: Int, needed: Int)
    case notPacked(magic: UInt64)
    case unknownVersion(UInt32, known: UInt32)
    /// A length or count outside of what it may be.
    case outOfBounds(field: String, value: UInt64, lowest: UInt64, highest: UInt64)
    case headerChecksum(found: UInt64, expected: UInt64)
    /// A checksum block, counted from 0, and where in the file its bytes lie.
    case blockChecksum(block: Int, fileOffset: Int, found: UInt64, expected: UInt64)
    /// The table's segments do not end where the file does.
    case segmentsEnd(at: UInt64, fileByteCount: UInt64)
    /// A segment, counted from 0, that is not LZ4's, or unpacks to another number of bytes.
    case segmentDoesNotUnpack(segment: Int, fileOffset: Int, byteCount: Int)

    public var description: String {
        switch self {
        case .cutShort(let part, let byteCount, let needed):
            "packed image is cut short: its \(part) needs \(needed) bytes, \(byteCount) are here"
        case .notPacked(let magic):
            "not a packed image: its magic number is \(hex(magic))"
        case .unknownVersion(let version, let known):
            "packed image has format version \(version), this program knows version \(known)"
        case .outOfBounds(let field, let value, let lowest, let highest):
            "packed image is damaged: \(field) is \(value), not between \(lowest) and \(highest)"
        case .headerChecksum(let found, let expected):
            "packed image is damaged: checksum of header and tables is \(hex(found)), not "
                + hex(expected)
        case .blockChecksum(let block, let fileOffset, let found, let expected):
            "packed image is damaged: checksum of block \(block) at byte \(fileOffset) is "
                + "\(hex(found)), not \(hex(expected))"
        case .segmentsEnd(let end, let fileByteCount):
            "packed image is damaged: its segments end at byte \(end) of \(fileByteCount)"
        case .segmentDoesNotUnpack(let segment, let fileOffset, let byteCount):
            "packed image is damaged: segment \(segment) at byte \(fileOffset) does not unpack to "
                + "\(byteCount) bytes"
        }
    }
}
