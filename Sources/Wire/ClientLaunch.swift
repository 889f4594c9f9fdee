/// A launch that a program on a node asks for: all but the image, which stays with its slave.
public struct ClientLaunch: Equatable, Sendable {
    /// Who asks, as the slave says. What it may say is the master's to decide.
    public var caller: Caller
    public var imageByteCount: UInt64
    /// The program's number for its request, repeated in the answers.
    public var request: UInt32
    /// The launch message of the local protocol, without its header.
    public var message: [UInt8]

    public static let byteLimit: UInt32 = 17 << 20

    public init(caller: Caller, imageByteCount: UInt64, request: UInt32, message: [UInt8]) {
        self.caller = caller
        self.imageByteCount = imageByteCount
        self.request = request
        self.message = message
    }

    /// - Parameter client: the number the slave knows the program by.
    public func frame(client: UInt32) -> [UInt8] {
        var writer = WireWriter(
            reservingByteCount: 16 + caller.encodedByteCount + message.count)
        caller.write(to: &writer)
        writer.write(imageByteCount)
        writer.write(request)
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
        let byteCount = try reader.readCount(
            elementByteCount: 1, limit: Int(Self.byteLimit), "launch message byte count")
        message = try reader.readBytes(byteCount, "launch message")
        try reader.finish()
    }
}
