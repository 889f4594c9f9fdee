import MasterCore
import Relay
import SlaveCore
import Wire

/// A master and its slaves in one address space, running the production state code over a seeded
/// clock and network. Node -1 is the master.
public final class SimulatedCluster {
    enum Event {
        case frame(connection: Int, toLow: Bool, [UInt8])
        case chunk(connection: Int, toLow: Bool, launch: UInt64, index: UInt32)
        case connected(launch: UInt64, from: Int32, to: Int32)
        case refused(launch: UInt64, from: Int32, to: Int32)
        case lost(connection: Int, toLow: Bool)
        case restored(node: Int32, launch: UInt64, rank: UInt32)
        case exited(node: Int32, launch: UInt64, rank: UInt32, status: Int32)
        case tick(node: Int32)
        case fault(node: Int32, Scenario.Fault)
        case resume(node: Int32)
        case clientLeaves
    }

    /// A connection between two daemons; "low" is the one that was there first (the one that
    /// connected).
    struct Connection {
        let low: Int32
        let high: Int32
        let isControl: Bool
        var isOpen = true
        /// When the last thing sent in each direction arrives: order is kept.
        var arrivalAtLow: UInt64 = 0
        var arrivalAtHigh: UInt64 = 0
        var id: LinkID
    }

    let scenario: Scenario
    var generator: SeededGenerator
    var queue = EventQueue<Event>()
    public internal(set) var now: UInt64 = 1_000_000_000
    var master: MasterState
    var slaves: [SlaveState]
    var connections: [Connection] = []
    var relayConnection: [UInt64: Int] = [:]
    var controlConnection: [Int32: Int] = [:]
    var dead: Set<Int32> = []
    var vanished: Set<Int32> = []
    var stalledEvents: [Int32: [Event]] = [:]
    var scheduledTick: [Int32: UInt64] = [:]
    /// Processes that run on a living node.
    public internal(set) var processes: Set<Process> = []
    public internal(set) var reports: [LaunchReport] = []
    public internal(set) var exits: [UInt32: Int] = [:]
    public internal(set) var failures: [UInt32: Int] = [:]
    public internal(set) var eventCount = 0
    /// Chunks that began to arrive, by node.
    public internal(set) var chunkBegins: [Int32: Int] = [:]
    var adoptions: [Int32: Int] = [:]
    var hasClient = true
    /// Processes that wait, placed, for the rest of their launch.
    var waiting: Set<Process> = []
    var complaintList: [String] = []

    /// A running process: node and rank.
    public struct Process: Hashable, Sendable {
        public let node: Int32
        public let rank: UInt32
    }

    static let client = ClientID(1)
    static let chunkByteCount: UInt32 = 16 << 10

    public init(_ scenario: Scenario) {
        self.scenario = scenario
        generator = SeededGenerator(seed: scenario.seed ^ 0x5eed)
        master = MasterState(
            configuration: MasterState.Configuration(
                nodeCount: scenario.nodeCount,
                pingTimeoutNanoseconds: scenario.pingTimeoutNanoseconds),
            firstLaunch: 1, now: now)
        slaves = (0..<Int32(scenario.nodeCount)).map { SlaveState(node: $0) }
    }

    static func address(of node: Int32) -> NodeAddress {
        NodeAddress(
            ipv4: 127, UInt8(truncatingIfNeeded: node >> 16), UInt8(truncatingIfNeeded: node >> 8),
            UInt8(truncatingIfNeeded: node), port: 2223)
    }

    func latency() -> UInt64 { UInt64.random(in: 20_000...300_000, using: &generator) }

    // MARK: Running

    /// Connects the slaves, launches, and runs until nothing is left to happen.
    /// - Returns: what went wrong, in sentences; empty if nothing did.
    public func run() -> [String] {
        for node in 0..<Int32(scenario.nodeCount) {
            guard !scenario.downNodes.contains(node) else {
                dead.insert(node)
                continue
            }
            let connection = open(low: node, high: -1, isControl: true)
            controlConnection[node] = connection
            let hello = Hello(
                role: .slave, node: node, address: Self.address(of: node), incarnation: 1)
            withMaster {
                $0.receiveHello(
                    hello, peer: Self.address(of: node), from: self.connections[connection].id,
                    now: self.now, effects: &$1)
            }
        }
        launch()
        for fault in scenario.faults {
            queue.insert(.fault(node: fault.node, fault.fault), at: now + fault.time)
        }
        if let clientLeaves = scenario.clientLeaves {
            queue.insert(.clientLeaves, at: now + clientLeaves)
        }
        // Pings never end: the run is over when every launch is forgotten or this much time is
        // gone.
        let deadline = now + 600_000_000_000
        while let time = queue.nextTime, time <= deadline, !isQuiet {
            let (time, event) = queue.removeFirst()
            now = time
            eventCount += 1
            handle(event)
        }
        return complaints()
    }

    private var isQuiet: Bool {
        master.launchCount == 0 && processes.isEmpty
            && slaves.allSatisfy { dead.contains($0.node) || $0.launchCount == 0 }
    }

    private func launch() {
        var order = LaunchOrder(
            imageByteCount: UInt64(scenario.chunkCount) * UInt64(Self.chunkByteCount) - 5,
            chunkByteCount: Self.chunkByteCount, user: 1000, group: 1000, supplementaryGroups: [],
            umask: 0o22, nice: 0, limits: [], descriptors: .listed([]), directory: "/",
            command: "simulated", stallMilliseconds: scenario.stallMilliseconds)
        if scenario.holds { order.flags.insert(.hold) }
        var nodes: [Int32] = []
        for _ in 0..<scenario.ranksPerNode { nodes += 0..<Int32(scenario.nodeCount) }
        let request = LaunchRequest(
            client: Self.client, caller: Caller(user: 0, group: 0, supplementaryGroups: []),
            nodes: nodes, order: order, fanOut: scenario.fanOut,
            chunkByteCount: Self.chunkByteCount, wantsProgress: false,
            origin: scenario.clientNode.map { LaunchOrigin(node: $0, client: 1) })
        withMaster { _ = $0.launch(request, now: self.now, effects: &$1) }
    }

    // MARK: Daemons

    func withMaster(_ body: (inout MasterState, inout [MasterEffect]) -> Void) {
        var effects: [MasterEffect] = []
        body(&master, &effects)
        for effect in effects { carryOut(effect) }
        schedule(tickOf: -1, at: master.deadlineNanoseconds)
    }

    func withSlave(_ node: Int32, _ body: (inout SlaveState, inout [SlaveEffect]) -> Void) {
        guard !dead.contains(node) else { return }
        var effects: [SlaveEffect] = []
        body(&slaves[Int(node)], &effects)
        for effect in effects { carryOut(effect, node: node) }
        if let deadline = slaves[Int(node)].deadlineNanoseconds {
            schedule(tickOf: node, at: deadline)
        }
    }

    private func schedule(tickOf node: Int32, at time: UInt64) {
        guard scheduledTick[node].map({ time < $0 }) ?? true else { return }
        scheduledTick[node] = time
        queue.insert(.tick(node: node), at: max(time, now))
    }

    private func carryOut(_ effect: MasterEffect) {
        switch effect {
        case .relay(let launch, let effect): carryOut(effect, launch: launch, node: -1)
        case .control(let link, let frame): send(frame, from: -1, on: link)
        case .refuse(let link, _): close(link, from: -1)
        case .failed(_, let failure): failures[failure.rank, default: 0] += 1
        case .launched(_, let report): reports.append(report)
        case .exited(_, let exit): exits[exit.rank, default: 0] += 1
        case .stopped: break
        case .welcome(let link, let welcome): send(welcome.frame, from: -1, on: link)
        case .nodeIsGone(let node, _):
            // A slave that has been given up ends the conversations of its programs.
            if node == scenario.clientNode { hasClient = false }
        case .progress, .resume, .cut, .closeStorage, .forget, .nodeAnswered, .nodeAnswers,
            .questionIsOver, .left, .hasArrived, .inputHasEnded, .signalHere,
            .beginHook, .endHook, .note, .warning:
            break
        }
    }

    private func carryOut(_ effect: SlaveEffect, node: Int32) {
        switch effect {
        case .relay(let launch, let effect): carryOut(effect, launch: launch, node: node)
        case .control(let frame):
            if let control = controlConnection[node] {
                send(frame, from: node, on: connections[control].id)
            }
        case .openStorage(let launch, _):
            // As in the daemon, done before the next frame is read.
            storage(node, launch)
        case .openImage(let launch, _, _): image(node, launch)
        case .spawn(let launch, let rank):
            queue.insert(
                .restored(node: node, launch: launch, rank: rank.rank),
                at: now + UInt64.random(in: 50_000...3_000_000, using: &generator))
        case .signal(let launch, let rank, let signal):
            if signal.number == 9, processes.contains(Process(node: node, rank: rank)) {
                queue.insert(
                    .exited(node: node, launch: launch, rank: rank, status: 9), at: now + 30_000)
            }
        case .refuse(let link, _): close(link, from: node)
        case .release(let launch): release(node, launch)
        case .closeStorage, .forget, .note: break
        }
    }

    private func carryOut(_ effect: RelayEffect, launch: UInt64, node: Int32) {
        switch effect {
        case .connect(let child, _):
            let answer: Event
            if dead.contains(child) {
                // A vanished machine does not even refuse.
                guard !vanished.contains(child) else { return }
                answer = .refused(launch: launch, from: node, to: child)
            } else {
                answer = .connected(launch: launch, from: node, to: child)
            }
            queue.insert(answer, at: now + latency())
        case .send(let link, let frame): send(frame, from: node, on: link)
        case .forward(let link, let chunk):
            deliver(on: link, from: node, extra: 100_000) { connection, toLow in
                .chunk(connection: connection, toLow: toLow, launch: launch, index: chunk)
            }
        case .close(let link): close(link, from: node)
        case .note: break
        }
    }
}
