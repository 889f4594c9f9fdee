import CLocalProtocol
import Host
import LocalProtocol
import Master
import MasterCore
import Relay
import Wire
import WireSamples

/// What programs on the master's machine send: any user can connect to the socket.
extension FuzzTarget {
    static let localTargets: [FuzzTarget] = [
        FuzzTarget(
            "local-message",
            seeds: {
                [BPROC_LOCAL_HELLO, BPROC_LOCAL_NODES_REQUEST, BPROC_LOCAL_INPUT].map { kind in
                    LocalMessage.bytes(kind, request: 7, body: Array(repeating: 65, count: 40))
                        + LocalMessage.bytes(BPROC_LOCAL_HELPER_REQUEST)
                }
            },
            run: { bytes in
                var received = bytes
                var taken = 0
                do {
                    while let message = try LocalMessage.take(from: &received) {
                        taken += LocalMessage.bytes(of: message.header).count + message.body.count
                    }
                } catch {
                    return "\(error)".isEmpty ? "an error without a sentence" : nil
                }
                return taken + received.count == bytes.count ? nil : "bytes are lost"
            }),
        FuzzTarget(
            "local-launch",
            seeds: {
                [
                    launchMessage(nodes: [0, 1, 2, 2], items: [], ioCount: -1),
                    launchMessage(nodes: [-1], items: [fileItem, socketItem], ioCount: 2),
                    launchMessage(nodes: Array(0..<100), items: [], ioCount: 0),
                ]
            },
            run: { bytes in launch(bytes) }),
        FuzzTarget(
            "local-node-request",
            seeds: {
                [
                    nodeRequest(BPROC_LOCAL_NODE_GET_ATTRIBUTE, name: "cpus"),
                    nodeRequest(BPROC_LOCAL_NODE_SET_ATTRIBUTE, name: "cpus", value: "16"),
                    nodeRequest(BPROC_LOCAL_NODE_SET_STATE, value: "error"),
                    nodeRequest(BPROC_LOCAL_NODE_SET_MODE, number: 0o101),
                    nodeRequest(BPROC_LOCAL_NODE_SET_USER, number: 1000),
                    nodeRequest(BPROC_LOCAL_NODE_SET_GROUP, number: .max),
                ]
            },
            run: { bytes in change(bytes) }),
        FuzzTarget(
            "local-process-request", seeds: { processRequests }, run: { bytes in act(bytes) }),
    ]

    /// A byte for the message, then its body.
    private static var processRequests: [[UInt8]] {
        let list = bproc_local_processes_request(
            node: -4, process: 0, after_job: 1, after_rank: 2, flags: 0)
        let one = bproc_local_processes_request(
            node: 0, process: 500, after_job: 0, after_rank: 0, flags: 0)
        let lost = bproc_local_processes_request(
            node: 0, process: 500, after_job: 0, after_rank: 0, flags: 1)
        let kill = bproc_local_kill(process: 500, signal: 15, flags: 1, reserved: 0)
        let status = bproc_local_status_request(node: 0, patience_milliseconds: 100)
        return [
            [24] + LocalMessage.bytes(of: list), [24] + LocalMessage.bytes(of: one),
            [24] + LocalMessage.bytes(of: lost), [25] + LocalMessage.bytes(of: kill),
            [26] + LocalMessage.bytes(of: status),
        ]
    }

    /// Whatever is asked, pages come to an end and nothing is kept that nobody waits for.
    private static func act(_ bytes: [UInt8]) -> String? {
        guard let kind = bytes.first,
            let request = try? ProcessRequest(
                kind: bproc_local_kind(rawValue: UInt32(kind)), body: Array(bytes.dropFirst()))
        else { return nil }
        var state = MasterState(
            configuration: MasterState.Configuration(
                nodeCount: 2, pingTimeoutNanoseconds: 5_000_000_000), firstLaunch: 1, now: 0)
        var effects: [MasterEffect] = []
        let root = Caller(user: 0, group: 0, supplementaryGroups: [])
        switch request {
        case .list(let node, let place):
            let page = state.processes(on: node, after: place, limit: 3)
            return page.isLast && page.entries.isEmpty ? nil : "processes of no launch"
        case .one(let process):
            return state.process(process) == nil ? nil : "process \(process) of no launch"
        case .lost(let process):
            return state.lostProcesses[process] == nil ? nil : "process \(process) was never there"
        case .kill(let process, let signal, let wholeJob):
            let isSent: Void? = try? state.kill(
                process, signal: signal, wholeJob: wholeJob, by: root, effects: &effects)
            return isSent == nil ? nil : "a signal to no process"
        case .status(let node, let patience):
            _ = try? state.askForProcesses(
                on: node, patienceNanoseconds: patience, now: 0, effects: &effects)
            state.tick(now: 61_000_000_000, effects: &effects)
            return state.book.allSatisfy { $0.count == 0 } ? nil : "a question without an end"
        }
    }

    private static func nodeRequest(
        _ action: bproc_local_node_action, name: String = "", value: String = "",
        number: UInt32 = 0
    ) -> [UInt8] {
        var raw = bproc_local_node_request()
        raw.action = action.rawValue
        raw.number = number
        raw.name_bytes = UInt32(name.utf8.count)
        raw.value_bytes = UInt32(value.utf8.count)
        return LocalMessage.bytes(of: raw) + Array((name + value).utf8)
    }

    /// Whatever root asks, the table stays what every library can read.
    private static func change(_ bytes: [UInt8]) -> String? {
        guard case .change(let change, let node) = try? NodeRequest(decoding: bytes) else {
            return nil
        }
        var state = MasterState(
            configuration: MasterState.Configuration(
                nodeCount: 2, pingTimeoutNanoseconds: 5_000_000_000), firstLaunch: 1, now: 0)
        var effects: [MasterEffect] = []
        state.receiveHello(
            Hello(role: .slave, node: 0, address: .unspecified, incarnation: 1),
            peer: NodeAddress(ipv4: 10, 0, 0, 1, port: 9), from: LinkID(1), now: 0,
            effects: &effects)
        let root = Caller(user: 0, group: 0, supplementaryGroups: [])
        try? state.change(node, change, by: root, now: 1, effects: &effects)
        for record in state.nodes.records {
            guard record.mode & ~0o111 == 0, (1...15).contains(record.state.utf8.count),
                record.isUp == (record.state != NodeRecord.down)
            else { return "node \(record.node) is \(record.state), mode \(record.mode)" }
        }
        return nil
    }

    private static func launchMessage(
        nodes: [Int32], items: [[UInt8]], ioCount: Int32
    ) -> [UInt8] {
        var raw = bproc_local_launch()
        raw.rank_count = UInt32(nodes.count)
        raw.io_count = ioCount
        raw.flags = 1
        raw.umask = 0o22
        raw.directory_bytes = 4
        raw.command_bytes = 8
        raw.chunk_byte_count = 1 << 20
        return LocalMessage.bytes(of: raw) + nodes.flatMap { LocalMessage.bytes(of: $0) }
            + items.flatMap { $0 } + Array("/tmpbin/true".utf8)
    }

    /// Two `bproc_io_t` by hand: descriptor, type, flags, and the union at byte 8.
    private static let fileItem: [UInt8] = {
        var bytes = [UInt8](repeating: 0, count: 280)
        bytes[0] = 1
        bytes.replaceSubrange(24..<33, with: Array("/dev/null".utf8))
        return bytes
    }()

    private static let socketItem: [UInt8] = {
        var bytes = [UInt8](repeating: 0, count: 280)
        bytes[0] = 2
        bytes[4] = 1
        bytes.replaceSubrange(8..<16, with: [2, 0, 0x1f, 0x90, 127, 0, 0, 1])
        return bytes
    }()

    /// What the master takes from a caller, every slave must be able to read.
    private static func launch(_ bytes: [UInt8]) -> String? {
        var parser = LaunchParser(bytes)
        let caller = Caller(user: 1000, group: 100, supplementaryGroups: [4, 24])
        do {
            let request = try parser.request(
                client: ClientID(1), caller: caller, imageByteCount: 5_000_000,
                stallMilliseconds: 5000)
            guard !request.nodes.isEmpty, request.nodes.count <= MasterState.rankLimit else {
                return "\(request.nodes.count) ranks"
            }
            let order = try? WireMessage.order(LaunchFrame.encode(request.order))
            return order == request.order ? nil : "slaves read another order"
        } catch {
            return "\(error)".isEmpty ? "an error without a sentence" : nil
        }
    }
}
