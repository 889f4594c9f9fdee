import CLocalProtocol
import Host
import Link
import LocalProtocol
import MasterCore
import Relay
import Wire

// Standard streams between job channels and nodes: passed through, bounded by the ends' credit.
extension MasterDaemon {
    /// Output of a rank, on its way to the client.
    mutating func output(_ header: FrameHeader, body: [UInt8], from link: LinkID) {
        let (launch, rank) = (header.launch, header.subject)
        guard let node = host.store.state.nodes.node(of: link),
            let listener = host.store.state.listener(to: rank, launch: launch, node: node),
            // The stream of a rank that leaves its node has not ended.
            !body.isEmpty || !host.store.state.streamsGoOn(of: rank, launch: launch)
        else { return }
        guard !keepOutput(body, stream: header.stream, of: launch) else { return }
        pass(output: body, stream: header.stream, to: listener)
    }

    mutating func pass(output bytes: [UInt8], stream: UInt16, to listener: RankListener) {
        guard let client = host.programs[listener.client] else { return }
        var raw = bproc_local_stream()
        raw.rank = listener.rank
        raw.stream = UInt32(stream)
        send(
            LocalMessage.bytes(
                BPROC_LOCAL_OUTPUT, request: client.launchRequest,
                body: LocalMessage.bytes(of: raw) + bytes), to: client)
    }

    /// A rank has taken input.
    mutating func inputCredit(
        _ header: FrameHeader, body: [UInt8], from link: LinkID
    ) throws(WireError) {
        var reader = WireReader(body)
        let byteCount = try reader.read(UInt64.self, "input credit")
        try reader.finish()
        guard let node = host.store.state.nodes.node(of: link),
            let listener = host.store.state.listener(
                to: header.subject, launch: header.launch, node: node),
            listener.rank == header.subject,
            let client = host.programs[listener.client], client.launch == header.launch,
            streams[header.launch] != nil
        else { return }
        let credit = streams[header.launch]!.taken(by: header.subject, byteCount: byteCount)
        sendInputCredit(credit, rank: header.subject, to: client)
    }

    /// A rank that has ended, or never began, keeps nobody waiting for its input.
    mutating func endInput(of client: Client, rank: UInt32) {
        guard let launch = client.launch, streams[launch] != nil else { return }
        sendInputCredit(streams[launch]!.ended(rank), rank: rank, to: client)
    }

    private mutating func sendInputCredit(_ byteCount: UInt64, rank: UInt32, to client: Client) {
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
    mutating func input(
        _ message: LocalMessage, from client: Client
    ) throws(LocalProtocolError) {
        guard let raw = message.load(bproc_local_stream.self) else {
            throw .tooSmall("input message")
        }
        guard let launch = client.launch else { return }
        let bytes = Array(message.body[MemoryLayout<bproc_local_stream>.size...])
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
            for link in host.store.state.links(ofLaunch: launch) {
                host.send(frame, on: link)
            }
        } else if !host.store.state.hasMoved(rank, launch: launch),
            let link = host.store.state.route(to: rank, launch: launch)?.link
        {
            streams[launch]?.sent(to: rank, byteCount: bytes.count)
            host.send(frame, on: link)
        }
    }

    /// Nobody reads what these ranks write.
    mutating func outputClosed(
        _ message: LocalMessage, from client: Client
    ) throws(LocalProtocolError) {
        guard let raw = message.load(bproc_local_stream.self) else {
            throw .tooSmall("message of closed output")
        }
        guard let launch = client.launch, raw.stream <= 2 else { return }
        func frame(_ place: RankPlace) -> [UInt8] {
            FrameHeader.frame(
                FrameHeader(
                    .outputClosed, launch: place.launch, subject: place.rank,
                    stream: UInt16(raw.stream)))
        }
        if raw.rank == FrameHeader.allRanks {
            for link in host.store.state.links(ofLaunch: launch) {
                host.send(frame(RankPlace(launch: launch, rank: raw.rank)), on: link)
            }
            for route in host.store.state.routesOfMoved(launch: launch) {
                host.send(frame(route.place), on: route.link)
            }
        } else if let route = host.store.state.route(to: raw.rank, launch: launch) {
            host.send(frame(route.place), on: route.link)
        }
    }

    mutating func outputCredit(
        _ message: LocalMessage, from client: Client
    ) throws(LocalProtocolError) {
        guard let raw = message.load(bproc_local_credit.self) else {
            throw .tooSmall("credit message")
        }
        guard let launch = client.launch, (1...2).contains(raw.stream),
            let route = host.store.state.route(to: raw.rank, launch: launch)
        else { return }
        var writer = WireWriter()
        writer.write(raw.byte_count)
        host.send(
            FrameHeader.frame(
                FrameHeader(
                    .outputCredit, launch: route.place.launch, subject: route.place.rank,
                    stream: UInt16(raw.stream)), body: writer.bytes), on: route.link)
    }
}
