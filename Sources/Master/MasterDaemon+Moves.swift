import CLocalProtocol
import CSystem
import Host
import LocalProtocol
import MasterCore
import Relay
import Wire

/// What has come of a process that has moved, and waits until its predecessor has left.
struct PendingMove {
    /// Output in its order; nothing: the end of the stream.
    var output: [(stream: UInt16, bytes: [UInt8])] = []
    var byteCount = 0
    /// Its next move.
    var moves: [(launch: ClientLaunch, place: RemotePlace)] = []
    /// The same of one that has come home.
    var message: (message: LocalMessage, client: ClientID)?

    /// Its ranks that come home already.
    var arrivals: [(header: FrameHeader, body: [UInt8], link: LinkID)] = []

    /// An honest node sends no more than the windows of two streams.
    static let byteLimit = 1 << 20
}

// Moves from node to node: what of the new process has to wait for the old one.
extension MasterDaemon {
    /// - Returns: whether the output of a rank is kept for later.
    mutating func keepOutput(_ bytes: [UInt8], stream: UInt16, of launch: UInt64) -> Bool {
        guard host.store.state.isArriving(launch: launch) else { return false }
        let byteCount = pendingMoves[launch, default: PendingMove()].byteCount + bytes.count
        guard byteCount <= PendingMove.byteLimit else { return true }
        pendingMoves[launch, default: PendingMove()].byteCount = byteCount
        pendingMoves[launch, default: PendingMove()].output.append((stream, bytes))
        return true
    }

    /// - Returns: whether a launch is kept until its caller has arrived where it is.
    mutating func keepMove(_ launch: ClientLaunch, of place: RemotePlace) -> Bool {
        guard let mover = launch.mover, host.store.state.isArriving(mover) else { return false }
        pendingMoves[mover.launch, default: PendingMove()].moves.append((launch, place))
        return true
    }

    /// - Returns: whether a launch is kept until its caller, who has come home, is here only.
    mutating func keepMove(_ message: LocalMessage, of client: Client) -> Bool {
        guard let raw = message.load(bproc_local_launch.self),
            raw.flags & UInt32(BPROC_LOCAL_LAUNCH_MOVE) != 0,
            let launch = host.store.state.homecoming(of: client.process)
        else { return false }
        pendingMoves[launch, default: PendingMove()].message = (message, client.id)
        return true
    }

    /// A program on a node is gone before its move has begun.
    mutating func forgetMove(of place: RemotePlace) {
        for launch in pendingMoves.keys {
            pendingMoves[launch]?.moves.removeAll { $0.place == place }
        }
    }

    mutating func passOnArrival(_ launch: UInt64, to listener: RankListener?) {
        guard let pending = pendingMoves.removeValue(forKey: launch) else { return }
        if let listener {
            for (stream, bytes) in pending.output {
                pass(output: bytes, stream: stream, to: listener)
            }
        }
        if let (message, id) = pending.message, let client = host.programs[id] {
            self.launch(message, from: client)
        }
        for (move, place) in pending.moves
        where host.store.state.nodes.node(of: place.link) != nil { self.launch(move, of: place) }
    }

    // MARK: Home

    /// Whether a rank that moves is to go on in its ghost: it comes to this machine, with the
    /// descriptors that it has here.
    func comesHome(_ request: LaunchRequest, mover: ClientLaunch.Mover) -> Bool {
        guard mover.leaves, request.nodes == [NodeTable.frontEndNumber],
            case .forwarded(_, items: []) = request.order.descriptors,
            request.order.flags.contains(.numbered),
            let id = host.store.state.callerWithGhost(of: mover, moving: request.order),
            let client = host.programs[id]
        else { return false }
        return client.place == nil && client.watcher == nil
    }

    /// A rank's image is where its ghost is.
    mutating func arrival(_ header: FrameHeader, body: [UInt8], from link: LinkID) {
        if let launch = host.store.state.unknownLaunch(ofArrival: header.launch) {
            pendingMoves[launch, default: PendingMove()].arrivals.append((header, body, link))
            return
        }
        guard let node = host.store.state.nodes.node(of: link),
            let listener = host.store.state.listener(
                toArrivalOf: header.subject, launch: header.launch, node: node),
            let client = host.programs[listener.client]
        else { return }
        var raw = bproc_local_rank_arrives()
        raw.launch = header.launch
        raw.rank = listener.rank
        var bytes = LocalMessage.bytes(of: raw)
        let capacity = Int(BPROC_LOCAL_SOCKET_LEN)
        typealias Raw = bproc_local_rank_arrives
        LocalMessage.put(
            String(decoding: body, as: UTF8.self), into: &bytes,
            at: MemoryLayout<Raw>.offset(of: \.slave)!, capacity: capacity)
        LocalMessage.put(
            host.programs.socketName, into: &bytes,
            at: MemoryLayout<Raw>.offset(of: \.daemon)!, capacity: capacity)
        send(
            LocalMessage.bytes(
                BPROC_LOCAL_RANK_ARRIVES, request: client.launchRequest, body: bytes),
            to: client)
    }

    /// A caller knows the ranks of its launch now.
    mutating func passArrivals(of launch: UInt64) {
        guard let arrivals = pendingMoves[launch]?.arrivals, !arrivals.isEmpty else { return }
        pendingMoves[launch]?.arrivals.removeAll()
        for (header, body, link) in arrivals { arrival(header, body: body, from: link) }
    }

    /// Lets a caller that has moved go: nobody where it is waits for it.
    mutating func tellLeft(_ id: ClientID) {
        guard let client = host.programs[id] else { return }
        var raw = bproc_local_exit()
        raw.cause = BPROC_LOCAL_CAUSE_MOVED.rawValue
        send(
            LocalMessage.bytes(
                BPROC_LOCAL_EXIT, request: client.launchRequest, body: LocalMessage.bytes(of: raw)),
            to: client)
    }
}
