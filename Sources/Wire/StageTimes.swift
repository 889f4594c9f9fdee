/// How far a node was with a launch when, in microseconds since the root began the launch, by the
/// root's clock as far as it can be known: each relay tells its children how long the launch has
/// been under way, and they count on from there. What the frames themselves take on their way is
/// not in it, so a time may be too small by the latency of the hops above.
public struct StageTimes: Equatable, Sendable {
    /// The node has the launch and its part of the tree.
    public var reached: UInt32
    /// The first chunk is there, and with it the image's header.
    public var header: UInt32
    /// The whole image is there and checked.
    public var complete: UInt32
    /// The restorer has said that it is about to enter the program.
    public var placed: UInt32

    static let byteCount = 16

    public init(
        reached: UInt32 = 0, header: UInt32 = 0, complete: UInt32 = 0, placed: UInt32 = 0
    ) {
        self.reached = reached
        self.header = header
        self.complete = complete
        self.placed = placed
    }

    init(from reader: inout WireReader) throws(WireError) {
        reached = try reader.read(UInt32.self, "time of arrival")
        header = try reader.read(UInt32.self, "time of the header")
        complete = try reader.read(UInt32.self, "time of the whole image")
        placed = try reader.read(UInt32.self, "time of the start")
    }

    func write(to writer: inout WireWriter) {
        for time in [reached, header, complete, placed] { writer.write(time) }
    }
}
