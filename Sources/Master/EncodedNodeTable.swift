import CLocalProtocol
import LocalProtocol
import Host
import MasterCore
import Wire

/// The table of nodes as the local protocol has it, kept until the table changes.
struct EncodedNodeTable {
    private var revision: UInt64?
    private var bytes: [UInt8] = []
    private var watchedRevision: UInt64?
    private var watched: [UInt8] = []

    mutating func bytes(of nodes: NodeTable) -> [UInt8] {
        if revision != nodes.revision {
            bytes.removeAll(keepingCapacity: true)
            bytes.reserveCapacity(nodes.count * MemoryLayout<bproc_local_node>.stride)
            for record in nodes.records { bytes += Self.encode(record) }
            revision = nodes.revision
        }
        return bytes
    }

    /// The same as programs have it that watch the table.
    mutating func watchedBytes(of nodes: NodeTable) -> [UInt8] {
        if watchedRevision != nodes.revision {
            watched = WatchedTable.entries(of: bytes(of: nodes))
            watchedRevision = nodes.revision
        }
        return watched
    }

    private static let statePlace = MemoryLayout<bproc_local_node>.offset(of: \.state)!
    private static let addressPlace = MemoryLayout<bproc_local_node>.offset(of: \.address)!

    private static func encode(_ record: NodeRecord) -> [UInt8] {
        var raw = bproc_local_node()
        raw.node = record.node
        raw.mode = record.mode
        raw.user = record.user
        raw.group = record.group
        raw.port = record.address.port
        raw.address_family =
            switch record.address.family {
            case .none: 0
            case .ipv4: 2
            case .ipv6: 10
            }
        var bytes = LocalMessage.bytes(of: raw)
        LocalMessage.put(record.shownState, into: &bytes, at: statePlace, capacity: 16)
        for index in 0..<16 { bytes[addressPlace + index] = record.address.octets[index] }
        return bytes
    }
}
