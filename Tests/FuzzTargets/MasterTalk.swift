import MasterCore
import Relay
import Wire

/// A master with one launch on six nodes, and peers that say anything.
struct MasterTalk {
    private var state: MasterState
    private var effects: [MasterEffect] = []
    private var now: UInt64 = 1_000_000_000
    private var isLaunched = false
    /// The launch is a program's on node 2, which is then the root of the tree.
    private let isFromNode: Bool
    private var reportCount = 0
    private(set) var fault: String?

    static let launch: UInt64 = 70

    init(isFromNode: Bool = false) {
        self.isFromNode = isFromNode
        state = MasterState(
            configuration: MasterState.Configuration(
                nodeCount: 6, pingTimeoutNanoseconds: 5_000_000_000),
            firstLaunch: Self.launch, now: now)
    }

    mutating func receive(_ header: FrameHeader, _ body: [UInt8]) {
        now += 40_000_000
        let link = LinkID(UInt64(header.stream))
        switch header.kind {
        case .hello:
            guard let hello = try? Hello(decoding: body) else { return }
            // Each slave comes by a control link of its own, numbered from 1.
            let control = LinkID(UInt64(state.nodes.upCount) + 1)
            state.receiveHello(
                hello, peer: NodeAddress(ipv4: 10, 0, 0, 1, port: 9), from: control, now: now,
                effects: &effects)
        case .kept:
            guard let kept = try? KeptLaunch(header, decoding: body) else { return }
            state.receiveKept(
                kept, byteCount: body.count, isLast: header.flags.contains(.final),
                from: LinkID(UInt64(header.stream % 8)), now: now, isTaken: { $0 % 3 == 0 },
                effects: &effects)
        case .leave, .pong, .exit, .stop, .query, .nodeControlled, .processes, .book:
            start()
            let control = LinkID(UInt64(header.stream % 8))
            try? state.receiveControl(
                header, body: body, from: control, now: now, effects: &effects)
        case .answer, .alive:
            start()
            // From the root, which has the image, by its control link; else by a relay link.
            if header.stream < 8 {
                try? state.receiveControl(
                    header, body: body, from: link, now: now, effects: &effects)
            } else {
                state.receiveRelay(header, body: body, from: link, now: now, effects: &effects)
            }
        default:
            start()
            state.receiveRelay(header, body: body, from: link, now: now, effects: &effects)
        }
        if header.unpackedByteCount == 1 {
            state.relayLinkIsLost(link, reason: "reset", now: now, effects: &effects)
        }
        if header.unpackedByteCount == 2 { now += 60_000_000_000 }
        if header.unpackedByteCount == 3 {
            state.clientIsGone(ClientID(1), now: now, effects: &effects)
        }
        state.tick(now: now, effects: &effects)
        carryOut()
    }

    private mutating func start() {
        guard !isLaunched else { return }
        isLaunched = true
        let order = LaunchOrder(
            imageByteCount: 100_000, chunkByteCount: 16384, user: 0, group: 0,
            supplementaryGroups: [], umask: 0, nice: 0, limits: [],
            descriptors: .forwarded(standardInput: true), directory: "/", command: "a",
            stallMilliseconds: 1000)
        let request = LaunchRequest(
            client: ClientID(1), caller: Caller(user: 0, group: 0, supplementaryGroups: []),
            nodes: [0, 1, 2, 3, 4, 5, 5, 99, -1], order: order, fanOut: 2, chunkByteCount: 0,
            wantsProgress: true,
            origin: isFromNode ? LaunchOrigin(node: 2, client: 9) : nil)
        _ = state.launch(request, now: now, effects: &effects)
        // Refused while the node is not there; else its answer may be anything.
        _ = try? state.control(1, .reboot, by: request.caller, effects: &effects)
        _ = try? state.askForProcesses(
            on: nil, patienceNanoseconds: 1_000_000_000, now: now, effects: &effects)
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

    private mutating func carryOut(_ effect: MasterEffect) {
        switch effect {
        case .relay(let launch, .connect(let node, _)):
            state.linkIsReady(
                launch: launch, node: node, link: LinkID(UInt64(UInt32(bitPattern: node)) + 100),
                now: now, effects: &effects)
        case .relay(let launch, .forward(_, let chunk)):
            if let order = state.order(of: launch), chunk >= order.chunkCount {
                fault = "chunk \(chunk) of \(order.chunkCount) is sent"
            }
        case .refuse(let link, let reason):
            state.controlIsLost(link, reason: reason, now: now, effects: &effects)
            state.relayLinkIsLost(link, reason: reason, now: now, effects: &effects)
        case .launched(_, let report):
            reportCount += 1
            if reportCount > 1 { fault = "the launch is reported twice" }
            if report.placedCount != report.processes.count(where: { $0 > 0 }) {
                fault = "\(report.placedCount) placed, but \(report.processes)"
            }
        case .exited(_, let exit):
            if reportCount == 0 { fault = "rank \(exit.rank) ended before it was reported" }
        case .stopped(_, let record):
            if reportCount == 0 { fault = "rank \(record.rank) stopped before it was reported" }
        case .control, .welcome, .resume, .cut, .failed, .progress, .closeStorage, .forget,
            .nodeIsGone, .nodeAnswered, .left, .hasArrived, .inputHasEnded, .signalHere,
            .nodeAnswers, .questionIsOver, .note, .beginHook, .endHook, .warning, .relay:
            break
        }
    }
}
