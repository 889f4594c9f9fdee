// Costs to start from, until a cluster has measured its own.
extension NodeWork {
    /// One slave on the reference machine (AMD EPYC, Linux 6.18) with warm image memory, fitted to
    /// bare relay processes that bring 4 MiB to 1023 others on 2 cores: 0.54 to 0.61 s with chunks of
    /// 512 KiB and fan-outs of 4 to 16, 0.8 to 1.1 s with chunks of 128 KiB, and fan-out 2 clearly
    /// slower than 4. Chunks times fan-out beyond some 8 MiB were slower again.
    public static let referenceMachine = NodeWork(
        receiveNanosecondsPerByte: 0.13, forwardNanosecondsPerByte: 0.08,
        relayNanosecondsPerByte: 0.12, hopNanoseconds: 20_000, pieceByteCount: 512 * 1024,
        cacheByteCount: 8 * 1024 * 1024, coldNanosecondsPerByte: 0.05)
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
}
