// Costs to start from, until a cluster has measured its own.
extension NodeWork {
    /// One slave on the reference machine (AMD EPYC, 2 cores, Linux 6.18) with warm image memory:
    /// a relay that splices, a leaf that receives into place, wake-ups only for whole chunks.
    ///
    /// Fitted to bare relay processes that bring 4 MiB to 1023 others over loopback TCP (cubic,
    /// 4 MiB socket buffers, SO_RCVLOWAT of 1 MiB), medians of 5. In seconds, with 512 KiB chunks:
    /// fan-out 2 0.41, 8 0.47, 16 0.50, 32 0.57, 60 0.59; with fan-out 16: 128 KiB 0.67, 256 KiB
    /// 0.55, 1 MiB 0.50 to 0.53. The fit is within a tenth of each.
    ///
    /// A chain of 8 nodes got an image later by 22 ms when each had to find 9.5 MB for it: 0.29 ns
    /// a byte. A slave keeps 8 MiB unless told otherwise (bpslave --arena).
    ///
    /// LZ4 1.9.4 on the image of bash, in segments of 64 KiB: 2 ns to pack a byte, the new file's
    /// pages included; 0.24 ns to unpack it and 0.04 ns for its checksum.
    public static let referenceMachine = NodeWork(
        receiveNanosecondsPerByte: 0.08, forwardNanosecondsPerByte: 0.054,
        relayNanosecondsPerByte: 0.03, hopNanoseconds: 23_000, pieceByteCount: 512 * 1024,
        cacheByteCount: 2 * 1024 * 1024, coldNanosecondsPerByte: 0.078,
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
