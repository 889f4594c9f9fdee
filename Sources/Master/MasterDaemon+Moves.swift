import CLocalProtocol
import Host
import LocalProtocol
import MasterCore
import Wire

/// What has come of a process that has moved, and waits until its predecessor has left.
struct PendingMove {
    /// Output in its order; nothing: the end of the stream.
    var output: [(stream: UInt16, bytes: [UInt8])] = []
    var byteCount = 0
    /// Its next move.
    var moves: [(launch: ClientLaunch, place: RemotePlace)] = []

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
        for (move, place) in pending.moves
        where host.store.state.nodes.node(of: place.link) != nil { self.launch(move, of: place) }
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
