/// The 32 bytes before every body. A relay routes on this alone; FORMAT.md draws it.
public struct FrameHeader: Equatable, Sendable {
    public static let byteCount = 32
    public static let magic: UInt16 = 0x5042
    public static let version: UInt8 = 1
    /// `subject` of frames that concern every rank of a launch.
    public static let allRanks: UInt32 = .max

    public var kind: FrameKind
    public var bodyByteCount: UInt32
    /// The launch this frame belongs to, 0 for none. Chosen by the root, unique in its lifetime.
    /// For ping, pong and acknowledge how many counted frames have come.
    public var launch: UInt64
    /// The rank; for a chunk, credit or attach its chunk index; for frames of a program on a node
    /// the number its slave knows it by.
    public var subject: UInt32
    /// Standard stream of input and output frames: 0, 1 or 2.
    public var stream: UInt16
    public var flags: Flags
    /// Bytes a compressed chunk has when it is unpacked; 0 where nothing is compressed.
    public var unpackedByteCount: UInt32

    public struct Flags: OptionSet, Sendable, Equatable {
        public let rawValue: UInt16
        public init(rawValue: UInt16) { self.rawValue = rawValue }
        /// chunk: the body is one LZ4 block.
        public static let compressed = Flags(rawValue: 1)
        /// launch: the receiver may have parts already; it says which by an attach frame first.
        public static let adoption = Flags(rawValue: 2)
        /// answer: nothing of the sender's subtree is outstanding any more.
        public static let final = Flags(rawValue: 4)
        /// answer: the sender cannot relay; its parent takes over its children.
        public static let withdrawn = Flags(rawValue: 8)
        /// launch: the receiver has the whole image; its program `subject` brought it.
        public static let rooted = Flags(rawValue: 16)
        static let known: Flags = [.compressed, .adoption, .final, .withdrawn, .rooted]
    }

    public init(
        _ kind: FrameKind, bodyByteCount: UInt32 = 0, launch: UInt64 = 0, subject: UInt32 = 0,
        stream: UInt16 = 0, flags: Flags = [], unpackedByteCount: UInt32 = 0
    ) {
        self.kind = kind
        self.bodyByteCount = bodyByteCount
        self.launch = launch
        self.subject = subject
        self.stream = stream
        self.flags = flags
        self.unpackedByteCount = unpackedByteCount
    }

    /// Writes the header's 32 bytes at the start of `bytes`.
    public func encode(into bytes: inout MutableRawSpan) {
        precondition(bytes.byteCount >= Self.byteCount)
        bytes.storeBytes(of: Self.magic.littleEndian, toByteOffset: 0, as: UInt16.self)
        bytes.storeBytes(of: Self.version, toByteOffset: 2, as: UInt8.self)
        bytes.storeBytes(of: kind.rawValue, toByteOffset: 3, as: UInt8.self)
        bytes.storeBytes(of: bodyByteCount.littleEndian, toByteOffset: 4, as: UInt32.self)
        bytes.storeBytes(of: launch.littleEndian, toByteOffset: 8, as: UInt64.self)
        bytes.storeBytes(of: subject.littleEndian, toByteOffset: 16, as: UInt32.self)
        bytes.storeBytes(of: stream.littleEndian, toByteOffset: 20, as: UInt16.self)
        bytes.storeBytes(of: flags.rawValue.littleEndian, toByteOffset: 22, as: UInt16.self)
        bytes.storeBytes(of: unpackedByteCount.littleEndian, toByteOffset: 24, as: UInt32.self)
        bytes.storeBytes(of: 0, toByteOffset: 28, as: UInt32.self)
    }

    /// Reads a header and checks everything that can be checked without the body.
    public init(decoding bytes: RawSpan) throws(WireError) {
        guard bytes.byteCount >= Self.byteCount else {
            throw .truncated(
                field: "frame header", needed: Self.byteCount, available: bytes.byteCount)
        }
        func load<T: FixedWidthInteger & BitwiseCopyable>(_ offset: Int, _ type: T.Type) -> T {
            // Every offset below lies within the 32 bytes checked above.
            T(littleEndian: unsafe bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: T.self))
        }
        let magic = load(0, UInt16.self)
        guard magic == Self.magic else { throw .badMagic(magic) }
        let version = load(2, UInt8.self)
        guard version == Self.version else {
            throw .versionMismatch(theirs: version, ours: Self.version)
        }
        let rawKind = load(3, UInt8.self)
        guard let kind = FrameKind(rawValue: rawKind) else { throw .unknownKind(rawKind) }
        let tagByteCount = load(28, UInt16.self)
        guard tagByteCount == 0 else { throw .unexpectedTag(byteCount: tagByteCount) }
        let rawFlags = load(22, UInt16.self)
        guard Flags.known.isSuperset(of: Flags(rawValue: rawFlags)), load(30, UInt16.self) == 0
        else { throw .invalidValue(field: "frame flags", value: UInt64(rawFlags)) }
        self.init(
            kind, bodyByteCount: load(4, UInt32.self), launch: load(8, UInt64.self),
            subject: load(16, UInt32.self), stream: load(20, UInt16.self),
            flags: Flags(rawValue: rawFlags), unpackedByteCount: load(24, UInt32.self))
        guard bodyByteCount <= kind.bodyLimit else {
            throw .bodyTooLarge(kind: kind, byteCount: bodyByteCount, limit: kind.bodyLimit)
        }
    }

    /// The kind of a frame that this side has made.
    public static func kind(of frame: [UInt8]) -> FrameKind? {
        frame.count >= byteCount ? FrameKind(rawValue: frame[3]) : nil
    }

    /// A whole frame: header and body in one run of bytes.
    public static func frame(_ header: FrameHeader, body: [UInt8] = []) -> [UInt8] {
        var header = header
        header.bodyByteCount = UInt32(body.count)
        var bytes = [UInt8](repeating: 0, count: byteCount)
        bytes.reserveCapacity(byteCount + body.count)
        var span = bytes.mutableSpan
        var raw = unsafe span.mutableBytes
        header.encode(into: &raw)
        bytes.append(contentsOf: body)
        return bytes
    }
}
