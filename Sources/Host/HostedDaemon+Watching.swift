import CLocalProtocol
import LocalProtocol

// Programs that watch the table of nodes: behind the descriptor of bproc_notifier.
extension HostedDaemon where Self: ~Copyable {
    mutating func watch(_ message: LocalMessage, from client: Client) {
        send(LocalMessage.bytes(BPROC_LOCAL_NODE_DONE, request: message.request), to: client)
        client.isWatching = true
        watchBegins()
    }

    /// Sends the table to every program that watches it. One that has not taken the last table gets
    /// the next when it has.
    package mutating func tellWatchers() {
        for client in host.programs.all where client.isWatching { sendTable(to: client) }
    }

    mutating func sendTable(to client: Client) {
        client.isOutdated = !client.outgoing.isEmpty
        guard !client.isOutdated, let table = watchedNodes else { return }
        send(WatchedTable.heading(byteCount: table.count, request: 0) + table, to: client)
    }

    /// Answers a program's question for the table, in the form that it reads.
    /// - Parameter nodes: as `BPROC_LOCAL_NODES` has them.
    package mutating func answer(_ client: Client, request: UInt32, nodes: [UInt8]) {
        guard client.isWatching else {
            send(LocalMessage.bytes(BPROC_LOCAL_NODES, request: request, body: nodes), to: client)
            return
        }
        client.isOutdated = false
        let table = WatchedTable.entries(of: nodes)
        send(WatchedTable.heading(byteCount: table.count, request: request) + table, to: client)
    }
}

/// The table of nodes as `struct bproc_node_info_t` has it.
package enum WatchedTable {
    static func heading(byteCount: Int, request: UInt32) -> [UInt8] {
        LocalMessage.bytes(
            of: bproc_local_watched(byte_count: UInt32(byteCount), request: request))
    }

    /// - Parameter nodes: an array of `bproc_local_node`.
    package static func entries(of nodes: [UInt8]) -> [UInt8] {
        let stride = MemoryLayout<bproc_local_node>.stride
        var entries: [UInt8] = []
        entries.reserveCapacity(
            nodes.count / stride * MemoryLayout<bproc_local_listed>.stride)
        var place = 0
        while let node = LocalMessage.load(bproc_local_node.self, from: nodes, at: place) {
            var listed = bproc_local_listed()
            listed.node = node.node
            listed.state = node.state
            listed.mode = node.mode
            listed.user = node.user
            listed.group = node.group
            if node.address_family == 2 {
                let octets = node.address
                listed.family = node.address_family
                listed.port = (UInt8(node.port >> 8), UInt8(truncatingIfNeeded: node.port))
                listed.address = (octets.0, octets.1, octets.2, octets.3)
            }
            entries += LocalMessage.bytes(of: listed)
            place += stride
        }
        return entries
    }
}
