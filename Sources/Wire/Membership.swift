/// A slave's place with a master: what it shows when it comes again by another connection, so that
/// its processes stay its processes. It protects against mistakes, not against an attacker who
/// reads the network.
public struct Membership: Equatable, Sendable {
    /// Which master, of those that may come one after the other at one address; 0: none.
    public var master: UInt64
    /// Drawn by the master for each slave that it lets in.
    public var cookie: UInt64

    public init(master: UInt64, cookie: UInt64) {
        self.master = master
        self.cookie = cookie
    }

    public static let none = Membership(master: 0, cookie: 0)

    init(from reader: inout WireReader, _ field: String) throws(WireError) {
        master = try reader.read(UInt64.self, field)
        cookie = try reader.read(UInt64.self, field)
    }

    func write(to writer: inout WireWriter) {
        writer.write(master)
        writer.write(cookie)
    }
}

/// Where a conversation goes on by another connection.
public struct Resumption: Equatable, Sendable {
    /// Counted frames that the sender has received in this conversation.
    public var receivedCount: UInt64
    /// The number of the counted frame that the sender sends next.
    public var firstFrame: UInt64

    public init(receivedCount: UInt64, firstFrame: UInt64) {
        self.receivedCount = receivedCount
        self.firstFrame = firstFrame
    }
}
