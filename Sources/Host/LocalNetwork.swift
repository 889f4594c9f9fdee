package import CLocalProtocol
package import RelayTree

/// What the daemon tells a capture helper about the network. Both are the same binary, so what one
/// node's processor costs need not travel.
package enum LocalNetwork {
    package static func message(nodeCount: Int, costs: CostModel) -> bproc_local_network {
        bproc_local_network(
            node_count: UInt32(clamping: nodeCount),
            nodes_per_host: UInt32(clamping: costs.nodesPerHost),
            cores_per_host: UInt32(clamping: costs.coresPerHost), reserved: 0,
            send_overhead_nanoseconds: costs.sendOverheadNanoseconds,
            latency_nanoseconds: costs.latencyNanoseconds,
            uplink_bytes_per_second: costs.uplinkBytesPerSecond,
            flow_bytes_per_second: costs.flowBytesPerSecond)
    }

    /// The costs that a message names, or nil if it names none, or none that can be.
    package static func costs(_ network: bproc_local_network) -> CostModel? {
        let times = [network.send_overhead_nanoseconds, network.latency_nanoseconds]
        let rates = [network.uplink_bytes_per_second, network.flow_bytes_per_second]
        // The comparisons are false for what is not a number.
        guard network.node_count > 0, times.allSatisfy({ $0 >= 0 && $0 <= 1e12 }),
            rates.allSatisfy({ $0 >= 1 && $0 <= 1e15 })
        else { return nil }
        return CostModel(
            sendOverheadNanoseconds: times[0], latencyNanoseconds: times[1],
            uplinkBytesPerSecond: rates[0], flowBytesPerSecond: rates[1],
            nodeWork: .referenceMachine, nodesPerHost: Int(network.nodes_per_host),
            coresPerHost: Int(network.cores_per_host))
    }

    package static func packingPays(
        _ network: bproc_local_network, imageByteCount: Int, ratio: Double
    ) -> Bool {
        guard let costs = costs(network) else { return false }
        return Planner.packingPays(
            nodeCount: Int(network.node_count), imageByteCount: UInt64(imageByteCount),
            ratio: ratio, costs: costs)
    }
}
