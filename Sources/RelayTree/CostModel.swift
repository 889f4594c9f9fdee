/// What sending through the relay tree costs, as measured on the nodes and the network between
/// them.
///
/// The network part is LogGP's (launch-time per send, latency, rates); the node part says what a
/// daemon's processor pays, and on how many cores the daemons of one host share that bill. With one
/// daemon per machine the wire decides; with hundreds on one machine the processor does. There is
/// no switch between the two: slaves say in their hello which machine they run on.
public struct CostModel: Equatable, Sendable {
    // MARK: The network

    /// Time one send occupies the sender, whatever its size: LogGP's o.
    public var sendOverheadNanoseconds: Double
    /// Time from the end of a send to its arrival; overlaps with everything else: L.
    public var latencyNanoseconds: Double
    /// What one node sends to several others at once.
    public var uplinkBytesPerSecond: Double
    /// What one connection carries.
    public var flowBytesPerSecond: Double

    // MARK: The nodes

    /// Processor time of one daemon.
    public var nodeWork: NodeWork
    /// Daemons on the same host: 1 on a cluster, all of them on one machine.
    public var nodesPerHost: Int
    /// Processor cores that those daemons share.
    public var coresPerHost: Int

    public init(
        sendOverheadNanoseconds: Double, latencyNanoseconds: Double,
        uplinkBytesPerSecond: Double, flowBytesPerSecond: Double, nodeWork: NodeWork,
        nodesPerHost: Int, coresPerHost: Int
    ) {
        self.sendOverheadNanoseconds = sendOverheadNanoseconds
        self.latencyNanoseconds = latencyNanoseconds
        self.uplinkBytesPerSecond = uplinkBytesPerSecond
        self.flowBytesPerSecond = flowBytesPerSecond
        self.nodeWork = nodeWork
        self.nodesPerHost = nodesPerHost
        self.coresPerHost = coresPerHost
    }
}

/// Processor time that a daemon spends on an image.
public struct NodeWork: Equatable, Sendable {
    /// To take in, store and check one byte.
    public var receiveNanosecondsPerByte: Double
    /// To send one byte to one child.
    public var forwardNanosecondsPerByte: Double
    /// To make one byte ready for children at all, paid once however many they are: what a node
    /// with children costs more than a leaf.
    public var relayNanosecondsPerByte: Double
    /// To handle one chunk on one hop: wake-ups, system calls, a change of context on either side.
    public var hopNanoseconds: Double
    /// The most that passes on one wake-up, about what a socket buffer holds; a larger chunk is
    /// handled in so many pieces, each with the cost of a hop.
    public var pieceByteCount: Double
    /// What stays in the cache between a parent's send and the last child's receive.
    public var cacheByteCount: Double
    /// What one byte costs more when it has left the cache by then.
    public var coldNanosecondsPerByte: Double
    /// Memory that a node keeps ready for an image, packed bytes included.
    public var warmByteCount: Double
    /// To get one byte of memory for an image that needs more: before a node has it all, it does
    /// not contact its children.
    public var allocateNanosecondsPerByte: Double
    /// To unpack and check one byte of an image that came packed.
    public var unpackNanosecondsPerByte: Double
    /// To pack one byte of an image, paid once by whoever takes it, before the first is sent.
    public var packNanosecondsPerByte: Double

    public init(
        receiveNanosecondsPerByte: Double, forwardNanosecondsPerByte: Double,
        relayNanosecondsPerByte: Double, hopNanoseconds: Double, pieceByteCount: Double,
        cacheByteCount: Double, coldNanosecondsPerByte: Double, warmByteCount: Double,
        allocateNanosecondsPerByte: Double, unpackNanosecondsPerByte: Double,
        packNanosecondsPerByte: Double
    ) {
        self.receiveNanosecondsPerByte = receiveNanosecondsPerByte
        self.forwardNanosecondsPerByte = forwardNanosecondsPerByte
        self.relayNanosecondsPerByte = relayNanosecondsPerByte
        self.hopNanoseconds = hopNanoseconds
        self.pieceByteCount = pieceByteCount
        self.cacheByteCount = cacheByteCount
        self.coldNanosecondsPerByte = coldNanosecondsPerByte
        self.warmByteCount = warmByteCount
        self.allocateNanosecondsPerByte = allocateNanosecondsPerByte
        self.unpackNanosecondsPerByte = unpackNanosecondsPerByte
        self.packNanosecondsPerByte = packNanosecondsPerByte
    }

    /// Processor time is not counted: the wire alone decides.
    public static let free = NodeWork(
        receiveNanosecondsPerByte: 0, forwardNanosecondsPerByte: 0, relayNanosecondsPerByte: 0,
        hopNanoseconds: 0, pieceByteCount: .infinity, cacheByteCount: .infinity,
        coldNanosecondsPerByte: 0, warmByteCount: .infinity, allocateNanosecondsPerByte: 0,
        unpackNanosecondsPerByte: 0, packNanosecondsPerByte: 0)
}
