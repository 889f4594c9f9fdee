/// A launch that a program on a node asks for: all but the image, which stays with its slave.
public struct ClientLaunch: Equatable, Sendable {
    /// The rank that a program is which moves.
    public struct Mover: Equatable, Sendable {
        public var launch: UInt64
        public var rank: UInt32
        /// It has no children here, and its output goes through its slave alone: nothing of it need
        /// stay.
        public var leaves: Bool

        public init(launch: UInt64, rank: UInt32, leaves: Bool) {
            self.launch = launch
            self.rank = rank
            self.leaves = leaves
        }
    }

    /// Who asks, as the slave says. What it may say is the master's to decide.
    public var caller: Caller
    public var imageByteCount: UInt64
    /// The program's number for its request, repeated in the answers.
    public var request: UInt32
    /// The launch message of the local protocol, without its header.
    public var message: [UInt8]
    /// nil: the program does not move, or is no rank.
    public var mover: Mover?

    public static let byteLimit: UInt32 = 17 << 20

    public init(
        caller: Caller, imageByteCount: UInt64, request: UInt32, message: [UInt8],
        mover: Mover? = nil
    ) {
        self.caller = caller
        self.mover = mover
        self.imageByteCount = imageByteCount
        self.request = request
        self.message = message
    }

    /// - Parameter client: the number the slave knows the program by.
    public func frame(client: UInt32) -> [UInt8] {
        var writer = WireWriter(
            reservingByteCount: 32 + caller.encodedByteCount + message.count)
        caller.write(to: &writer)
        writer.write(imageByteCount)
        writer.write(request)
        writer.write(UInt8(mover.map { $0.leaves ? 2 : 1 } ?? 0))
        if let mover {
            writer.write(mover.launch)
            writer.write(mover.rank)
        }
        writer.write(UInt32(message.count))
        writer.write(message)
        return FrameHeader.frame(
            FrameHeader(.clientLaunch, subject: client), body: writer.bytes)
    }

    public init(decoding body: [UInt8]) throws(WireError) {
        var reader = WireReader(body)
        caller = try Caller(from: &reader)
        imageByteCount = try reader.read(UInt64.self, "image byte count")
        guard imageByteCount > 0,
            imageByteCount / UInt64(ChunkSize.granularity) < UInt64(UInt32.max)
        else {
            throw .invalidValue(field: "image byte count", value: imageByteCount)
        }
        request = try reader.read(UInt32.self, "request")
        let kind = try reader.read(UInt8.self, "kind of mover")
        guard kind <= 2 else { throw .invalidValue(field: "kind of mover", value: UInt64(kind)) }
        if kind > 0 {
            mover = Mover(
                launch: try reader.read(UInt64.self, "mover's launch"),
                rank: try reader.read(UInt32.self, "mover's rank"), leaves: kind == 2)
        }
        let byteCount = try reader.readCount(
            elementByteCount: 1, limit: Int(Self.byteLimit), "launch message byte count")
        message = try reader.readBytes(byteCount, "launch message")
        try reader.finish()
    }
}
