/// What a program on a node asks the master, and is answered at once: a request of the local
/// protocol that needs no launch.
public struct ClientRequest: Equatable, Sendable {
    /// Who asks, as the slave says. What it may say is the master's to decide.
    public var caller: Caller
    /// The message's kind in the local protocol.
    public var kind: UInt16
    /// The program's number for its request, repeated in the answer.
    public var request: UInt32
    /// The body of the message.
    public var message: [UInt8]

    public static let messageByteLimit = 16 << 10
    public static let byteLimit: UInt32 = 512 << 10

    public init(caller: Caller, kind: UInt16, request: UInt32, message: [UInt8]) {
        self.caller = caller
        self.kind = kind
        self.request = request
        self.message = message
    }

    /// - Parameter client: the number the slave knows the program by.
    public func frame(client: UInt32) -> [UInt8] {
        var writer = WireWriter(
            reservingByteCount: 10 + caller.encodedByteCount + message.count)
        caller.write(to: &writer)
        writer.write(kind)
        writer.write(request)
        writer.write(UInt32(message.count))
        writer.write(message)
        return FrameHeader.frame(
            FrameHeader(.clientRequest, subject: client), body: writer.bytes)
    }

    public init(decoding body: [UInt8]) throws(WireError) {
        var reader = WireReader(body)
        caller = try Caller(from: &reader)
        kind = try reader.read(UInt16.self, "request kind")
        request = try reader.read(UInt32.self, "request")
        let byteCount = try reader.readCount(
            elementByteCount: 1, limit: Self.messageByteLimit, "request byte count")
        message = try reader.readBytes(byteCount, "request")
        try reader.finish()
    }
}
