import CLocalProtocol
import Link
import MasterCore
import Relay
import Wire

// Standard streams between job channels and nodes: passed through, bounded by the ends' credit.
extension MasterDaemon {
    /// Output of a rank, on its way to the client.
    mutating func output(_ header: FrameHeader, body: [UInt8], from link: LinkID) {
        guard let node = store.state.nodes.node(of: link),
            let id = store.state.client(of: header.launch, rank: header.subject, node: node),
            let client = clients[id.rawValue]
        else { return }
        var raw = bproc_local_stream()
        raw.rank = header.subject
        raw.stream = UInt32(header.stream)
        send(
            LocalMessage.bytes(
                BPROC_LOCAL_OUTPUT, request: client.launchRequest,
                body: LocalMessage.bytes(of: raw) + body), to: client)
    }

    /// A rank has taken input.
    mutating func inputCredit(
        _ header: FrameHeader, body: [UInt8], from link: LinkID
    ) throws(WireError) {
        var reader = WireReader(body)
        let byteCount = try reader.read(UInt64.self, "input credit")
        try reader.finish()
        guard let node = store.state.nodes.node(of: link),
            let id = store.state.client(of: header.launch, rank: header.subject, node: node),
            let client = clients[id.rawValue], streams[header.launch] != nil
        else { return }
        let credit = streams[header.launch]!.taken(by: header.subject, byteCount: byteCount)
        sendInputCredit(credit, rank: header.subject, to: client)
    }

    /// A rank that has ended, or never began, keeps nobody waiting for its input.
    mutating func endInput(of client: LocalClient, rank: UInt32) {
        guard let launch = client.launch, streams[launch] != nil else { return }
        sendInputCredit(streams[launch]!.ended(rank), rank: rank, to: client)
    }

    private mutating func sendInputCredit(_ byteCount: UInt64, rank: UInt32, to client: LocalClient)
    {
        guard byteCount > 0 else { return }
        var raw = bproc_local_credit()
        raw.rank = UInt32(BPROC_LOCAL_ALL_RANKS)
        raw.byte_count = byteCount
        send(
            LocalMessage.bytes(
                BPROC_LOCAL_INPUT_CREDIT, request: client.launchRequest,
                body: LocalMessage.bytes(of: raw)), to: client)
    }

    /// Input of the client, on its way to one rank or all.
    mutating func input(_ body: [UInt8], from client: LocalClient) throws(LocalProtocolError) {
        guard let raw = LocalMessage.load(bproc_local_stream.self, from: body) else {
            throw .tooSmall("input message")
        }
        guard let launch = client.launch else { return }
        let bytes = Array(body[MemoryLayout<bproc_local_stream>.size...])
        let limit = Int(FrameKind.input.bodyLimit)
        var start = 0
        repeat {
            let end = min(bytes.count, start + limit)
            sendInput(Array(bytes[start..<end]), rank: raw.rank, launch: launch)
            start = end
        } while start < bytes.count
    }

    private mutating func sendInput(_ bytes: [UInt8], rank: UInt32, launch: UInt64) {
        let frame = FrameHeader.frame(
            FrameHeader(.input, launch: launch, subject: rank), body: bytes)
        if rank == FrameHeader.allRanks {
            streams[launch]?.sentToAll(byteCount: bytes.count)
            for link in store.state.links(ofLaunch: launch) {
                links.send(frame, on: link, store: store, ring: &ring)
            }
        } else if let link = store.state.link(ofRank: rank, launch: launch) {
            streams[launch]?.sent(to: rank, byteCount: bytes.count)
            links.send(frame, on: link, store: store, ring: &ring)
        }
    }

    mutating func outputCredit(
        _ body: [UInt8], from client: LocalClient
    ) throws(LocalProtocolError) {
        guard let raw = LocalMessage.load(bproc_local_credit.self, from: body) else {
            throw .tooSmall("credit message")
        }
        guard let launch = client.launch, (1...2).contains(raw.stream),
            let link = store.state.link(ofRank: raw.rank, launch: launch)
        else { return }
        var writer = WireWriter()
        writer.write(raw.byte_count)
        links.send(
            FrameHeader.frame(
                FrameHeader(
                    .outputCredit, launch: launch, subject: raw.rank, stream: UInt16(raw.stream)),
                body: writer.bytes), on: link, store: store, ring: &ring)
    }
}
