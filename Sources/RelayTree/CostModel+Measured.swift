// Costs to start from, until a cluster has measured its own.
extension NodeWork {
    /// One slave on the reference machine (AMD EPYC, 2 cores, Linux 6.18) with warm image memory.
    ///
    /// Per byte from a profile of 1023 slaves that got 4 MiB over loopback TCP: sendfile 0.52 ms a
    /// node, receive 0.41 ms, checksum 0.11 ms. The rest fitted to processor times of slaves in a
    /// sweep of fan-outs 2 to 32 and chunks of 128 KiB to the whole image, at 256 and 1023 nodes:
    /// each chunk costs a node 45 µs whatever its size, a chain costs more than a tree, and from
    /// fan-out 16 on with one chunk the bytes have left the cache.
    ///
    /// A chain of 8 nodes got an image later by 22 ms when each had to find 9.5 MB for it: 0.29 ns
    /// a byte. A slave keeps 8 MiB unless told otherwise (bpslave --arena).
    ///
    /// LZ4 1.9.4 on the image of bash, in segments of 64 KiB: 2 ns to pack a byte, the new file's
    /// pages included; 0.24 ns to unpack it and 0.04 ns for its checksum.
    public static let referenceMachine = NodeWork(
        receiveNanosecondsPerByte: 0.124, forwardNanosecondsPerByte: 0.124,
        relayNanosecondsPerByte: 0.08, hopNanoseconds: 45_000, pieceByteCount: 8 * 1024 * 1024,
        cacheByteCount: 64 * 1024 * 1024, coldNanosecondsPerByte: 0.05,
        warmByteCount: 8 * 1024 * 1024, allocateNanosecondsPerByte: 0.29,
        unpackNanosecondsPerByte: 0.28, packNanosecondsPerByte: 2)
}

extension CostModel {
    /// Sockets over a loopback interface: 5 µs to send, 20 µs to be woken, 4 GB/s.
    public static func loopback(nodesPerHost: Int, coresPerHost: Int) -> CostModel {
        CostModel(
            sendOverheadNanoseconds: 5_000, latencyNanoseconds: 20_000,
            uplinkBytesPerSecond: 4e9, flowBytesPerSecond: 4e9, nodeWork: .referenceMachine,
            nodesPerHost: nodesPerHost, coresPerHost: coresPerHost)
    }

    /// One 1 Gbit/s link per node with the usual 50 µs, a tenth of it spent in the sender.
    public static let gigabitEthernet = CostModel(
        sendOverheadNanoseconds: 5_000, latencyNanoseconds: 45_000,
        uplinkBytesPerSecond: 125e6, flowBytesPerSecond: 125e6, nodeWork: .referenceMachine,
        nodesPerHost: 1, coresPerHost: 1)

    /// A network that nobody has measured yet: one node per machine on gigabit Ethernet.
    public init() { self = .gigabitEthernet }
}
