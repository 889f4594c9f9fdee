/// One component of a path that came from elsewhere: it can name nothing but an entry of the
/// directory that it is used in.
public struct EntryName: Hashable, Sendable {
    public let bytes: [UInt8]

    public static let byteLimit = 255

    public init(_ bytes: [UInt8]) throws(CopyFormatError) {
        let isPath = bytes.contains(UInt8(ascii: "/")) || bytes.contains(0)
        let dot = UInt8(ascii: ".")
        guard !bytes.isEmpty, bytes.count <= Self.byteLimit, !isPath, bytes != [dot],
            bytes != [dot, dot]
        else { throw .badName(String(decoding: bytes.prefix(80), as: UTF8.self)) }
        self.bytes = bytes
    }

    public var text: String { String(decoding: bytes, as: UTF8.self) }
}

/// When a file was changed.
public struct FileTime: Equatable, Sendable {
    public var seconds: Int64
    public var nanoseconds: UInt32

    public init(seconds: Int64, nanoseconds: UInt32) {
        self.seconds = seconds
        self.nanoseconds = nanoseconds
    }
}

/// One record of a copy (FORMAT.md).
public enum CopyRecord: Equatable, Sendable {
    case directory(EntryName, mode: UInt32, time: FileTime)
    case directoryEnd
    case file(number: UInt32, EntryName, mode: UInt32, time: FileTime, byteCount: UInt64)
    case bytes([UInt8])
    case fileEnd(number: UInt32, isWhole: Bool, checksum: UInt64)
    case failure(CopyFailure)
    case barrier(UInt32)
    case end
    case giveUp

    public static let bodyByteLimit = 1 << 20
    public static let textByteLimit = 4096
    public static let depthLimit = 256
    static let headerByteCount = 8
    static let mark: [UInt8] = [0xb9, 0xc0, 0x01]

    private var kind: UInt8 {
        switch self {
        case .directory: 1
        case .directoryEnd: 2
        case .file: 3
        case .bytes: 4
        case .fileEnd: 5
        case .failure: 6
        case .barrier: 7
        case .end: 8
        case .giveUp: 9
        }
    }

    /// The record as it travels.
    public var encoded: [UInt8] {
        var bytes = [kind] + Self.mark + [0, 0, 0, 0]
        switch self {
        case .directory(let name, let mode, let time):
            bytes.append(little: mode)
            bytes.append(time)
            bytes += name.bytes
        case .file(let number, let name, let mode, let time, let byteCount):
            bytes.append(little: number)
            bytes.append(little: mode)
            bytes.append(time)
            bytes.append(little: byteCount)
            bytes += name.bytes
        case .bytes(let content): bytes += content
        case .fileEnd(let number, let isWhole, let checksum):
            bytes.append(little: number)
            bytes.append(isWhole ? 1 : 0)
            bytes.append(little: checksum)
        case .failure(let failure):
            bytes.append(little: UInt32(bitPattern: failure.node))
            bytes.append(little: failure.file ?? .max)
            bytes.append(little: UInt32(bitPattern: failure.errorNumber))
            bytes += Array(failure.sentence.utf8.prefix(Self.textByteLimit))
        case .barrier(let number): bytes.append(little: number)
        case .directoryEnd, .end, .giveUp: break
        }
        precondition(bytes.count - Self.headerByteCount <= Self.bodyByteLimit, "a long record")
        let byteCount = UInt32(bytes.count - Self.headerByteCount)
        for index in 0..<4 {
            bytes[4 + index] = UInt8(truncatingIfNeeded: byteCount >> (8 * index))
        }
        return bytes
    }
}

/// Something that could not be copied.
public struct CopyFailure: Error, Equatable, Sendable, CustomStringConvertible {
    /// -1: the front end.
    public var node: Int32
    /// The file's number; nil: it has none, or the failure is of the whole copy.
    public var file: UInt32?
    public var errorNumber: Int32
    public var sentence: String

    public init(node: Int32 = -1, file: UInt32? = nil, errorNumber: Int32, sentence: String) {
        self.node = node
        self.file = file
        self.errorNumber = errorNumber
        self.sentence = sentence
    }

    public var description: String { node < 0 ? sentence : "node \(node): \(sentence)" }
}

/// Why bytes are no record.
public enum CopyFormatError: Error, Equatable, CustomStringConvertible {
    case noRecord
    case unknownKind(UInt8)
    case tooLong(UInt32)
    case badName(String)
    case badBody(kind: UInt8)

    public var description: String {
        switch self {
        case .noRecord: "what came is no record of a copy"
        case .unknownKind(let kind): "a record of unknown kind \(kind)"
        case .tooLong(let byteCount): "a record of \(byteCount) bytes"
        case .badName(let name): "'\(name)' is no name of a file"
        case .badBody(let kind): "a damaged record of kind \(kind)"
        }
    }
}

extension [UInt8] {
    mutating func append<Number: FixedWidthInteger>(little number: Number) {
        for index in 0..<(Number.bitWidth / 8) {
            append(UInt8(truncatingIfNeeded: number >> (8 * index)))
        }
    }

    mutating func append(_ time: FileTime) {
        append(little: UInt64(bitPattern: time.seconds))
        append(little: time.nanoseconds)
    }
}
