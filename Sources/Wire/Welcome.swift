/// The master's answer to a slave's hello.
public struct Welcome: Equatable, Sendable {
    public var node: Int32
    /// A slave that hears nothing for this long gives the master up.
    public var heartbeatMilliseconds: UInt32
    /// Nodes that the master is configured for: the answer to programs on the node that ask.
    public var nodeCount: UInt32
    /// How long both ends keep what they know when their connection is cut; 0: not at all.
    public var graceMilliseconds: UInt32
    /// What the slave shows when it comes again.
    public var membership: Membership
    /// The slave's place was kept, and the conversation goes on; nil: it is a newcomer.
    public var resumption: Resumption?
    public var version: String

    public init(
        node: Int32, heartbeatMilliseconds: UInt32, nodeCount: UInt32,
        graceMilliseconds: UInt32 = 0, membership: Membership = .none,
        resumption: Resumption? = nil, version: String = ProductVersion.text
    ) {
        self.node = node
        self.graceMilliseconds = graceMilliseconds
        self.membership = membership
        self.resumption = resumption
        self.heartbeatMilliseconds = heartbeatMilliseconds
        self.nodeCount = nodeCount
        self.version = version
    }

    public var frame: [UInt8] {
        var writer = WireWriter()
        writer.write(node)
        writer.write(heartbeatMilliseconds)
        writer.write(nodeCount)
        writer.write(graceMilliseconds)
        membership.write(to: &writer)
        writer.write(UInt8(resumption == nil ? 0 : 1))
        writer.write(resumption?.receivedCount ?? 0)
        writer.write(resumption?.firstFrame ?? 0)
        writer.write(text: version, limit: Hello.textLimit)
        return FrameHeader.frame(FrameHeader(.welcome), body: writer.bytes)
    }

    public init(decoding body: [UInt8]) throws(WireError) {
        var reader = WireReader(body)
        node = try reader.read(Int32.self, "welcome node")
        heartbeatMilliseconds = try reader.read(UInt32.self, "welcome heartbeat")
        nodeCount = try reader.read(UInt32.self, "welcome node count")
        graceMilliseconds = try reader.read(UInt32.self, "welcome grace")
        membership = try Membership(from: &reader, "welcome membership")
        let isResumed = try reader.read(UInt8.self, "welcome resumption")
        let receivedCount = try reader.read(UInt64.self, "welcome received count")
        let firstFrame = try reader.read(UInt64.self, "welcome first frame")
        switch isResumed {
        case 0: resumption = nil
        case 1: resumption = Resumption(receivedCount: receivedCount, firstFrame: firstFrame)
        default: throw .invalidValue(field: "welcome resumption", value: UInt64(isResumed))
        }
        version = try reader.readText(limit: Hello.textLimit, "welcome version")
        try reader.finish()
    }
}
