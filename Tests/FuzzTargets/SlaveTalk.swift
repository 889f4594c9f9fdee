import Relay
import SlaveCore
import Wire

/// A slave's state with a stand-in for its daemon: links open at once, storage is there, ranks
/// start.
struct SlaveTalk {
    private var state = SlaveState(node: 0)
    private var effects: [SlaveEffect] = []
    private var now: UInt64 = 1_000_000_000
    private(set) var fault: String?

    mutating func receive(_ header: FrameHeader, _ body: [UInt8]) {
        now += 40_000_000
        let link = LinkID(UInt64(header.stream))
        switch header.kind {
        case .launch:
            if header.flags.contains(.rooted) {
                try? state.receiveControl(
                    header, body: body, from: link, now: now, effects: &effects)
                break
            }
            guard let frame = try? LaunchFrame(decoding: body) else { return }
            state.receiveLaunch(
                header.launch, frame: frame, isAdoption: header.flags.contains(.adoption),
                from: link, now: now, effects: &effects)
        case .chunk:
            guard state.wants(chunk: header.subject, launch: header.launch, from: link),
                let order = state.order(of: header.launch)
            else { return }
            if header.subject >= order.chunkCount { fault = "a chunk behind the last is wanted" }
            state.chunkBegins(launch: header.launch)
            state.chunkIsStored(
                launch: header.launch, chunk: header.subject, now: now, effects: &effects)
        case .signal, .abort, .verdict:
            try? state.receiveControl(
                header, body: body, from: link, now: now, effects: &effects)
        default:
            state.receive(header, body: body, from: link, now: now, effects: &effects)
        }
        carryOut()
        state.tick(now: now, effects: &effects)
        carryOut()
        // Links are lost, and clocks stand still, where the frame's unused numbers say so.
        if header.unpackedByteCount == 1 {
            state.linkIsLost(link, reason: "reset", now: now, effects: &effects)
        }
        if header.unpackedByteCount == 2 { now += 60_000_000_000 }
        carryOut()
    }

    private mutating func carryOut() {
        var rounds = 0
        while !effects.isEmpty {
            rounds += 1
            guard rounds < 1000 else {
                fault = "effects without an end"
                return
            }
            let taken = effects
            effects = []
            for effect in taken { carryOut(effect) }
        }
    }

    private mutating func carryOut(_ effect: SlaveEffect) {
        switch effect {
        case .relay(let launch, .connect(let node, _)):
            if node % 5 == 4 {
                state.linkFailed(
                    launch: launch, node: node, errorNumber: FailureCode.hostUnreachable,
                    reason: "no route", now: now, effects: &effects)
            } else {
                state.linkIsReady(
                    launch: launch, node: node,
                    link: LinkID(UInt64(UInt32(bitPattern: node)) + 100),
                    now: now, effects: &effects)
            }
        case .relay(let launch, .forward(_, let chunk)):
            if let order = state.order(of: launch), chunk >= order.chunkCount {
                fault = "chunk \(chunk) of \(order.chunkCount) is passed on"
            }
        case .openImage(let launch, _, let client) where client % 4 == 3:
            state.storageFailed(
                launch: launch, stage: .receive, errorNumber: FailureCode.canceled,
                reason: "the caller is gone", now: now, effects: &effects)
        case .openStorage(let launch, _), .openImage(let launch, _, _):
            state.storageIsReady(launch: launch, now: now, effects: &effects)
        case .spawn(let launch, let rank):
            if rank.rank % 3 == 1 {
                state.rankFailed(
                    launch: launch, rank: rank.rank, stage: .spawn, errorNumber: 12,
                    reason: "no memory", now: now, effects: &effects)
            } else {
                state.rankIsPlaced(
                    launch: launch, rank: rank.rank, undumpNanoseconds: 5, now: now,
                    effects: &effects)
            }
        case .signal(let launch, let rank, let signal):
            // Some are stopped, some end.
            if signal.number % 4 == 3 {
                state.rankStopped(
                    StopRecord(
                        launch: launch, rank: rank, signal: signal.number,
                        sequence: signal.sequence), effects: &effects)
                break
            }
            state.rankExited(
                ExitRecord(launch: launch, rank: rank, waitStatus: signal.number),
                effects: &effects)
        case .refuse(let link, let reason):
            state.linkIsLost(link, reason: reason, now: now, effects: &effects)
        case .control, .closeStorage, .forget, .release, .note, .relay: break
        }
    }
}
