public import NodeSpec
public import Relay
public import RelayTree
public import Wire

/// Everything the master decides: pure, driven by events, answering with effects. The daemon and
/// the simulated cluster run the same code.
public struct MasterState: RelayState {
    public struct Configuration: Sendable {
        /// The numbers of all nodes there are.
        public var nodes: NodeSet
        /// Addresses that nodes must connect from, without their ports; one that is not listed may
        /// come from anywhere.
        public var addresses: [Int32: NodeAddress] = [:]
        /// A slave that is silent for this long is down; it is asked twice in that time.
        public var pingTimeoutNanoseconds: UInt64
        /// A slave whose connection is cut keeps its place and its processes for this long; 0: it
        /// is down at once.
        public var graceNanoseconds: UInt64 = 0
        /// What the network between the nodes costs.
        public var networkCosts: CostModel
        /// Processor cores of this machine, which slaves on loopback addresses share.
        public var coreCount: Int
        /// Where slaves connect.
        public var address: NodeAddress
        /// Who may use a node that connects, until somebody changes it.
        public var newcomers = NodePermission()
        /// Which hooks there are.
        public var hooks = HookLimits()

        public init(
            nodes: NodeSet, pingTimeoutNanoseconds: UInt64,
            networkCosts: CostModel = .gigabitEthernet, coreCount: Int = 1,
            address: NodeAddress = .unspecified
        ) {
            self.address = address
            self.nodes = nodes
            self.pingTimeoutNanoseconds = pingTimeoutNanoseconds
            self.networkCosts = networkCosts
            self.coreCount = coreCount
        }

        /// Nodes are numbered 0 ..< nodeCount.
        public init(
            nodeCount: Int, pingTimeoutNanoseconds: UInt64,
            networkCosts: CostModel = .gigabitEthernet, coreCount: Int = 1,
            address: NodeAddress = .unspecified
        ) {
            self.init(
                nodes: NodeSet(0...NodeNumber(Int32(nodeCount) - 1)),
                pingTimeoutNanoseconds: pingTimeoutNanoseconds, networkCosts: networkCosts,
                coreCount: coreCount, address: address)
        }
    }

    public private(set) var configuration: Configuration
    public internal(set) var nodes: NodeTable
    /// Which master this is, of those that may come one after the other at one address; not 0.
    public let identity: UInt64
    var cookieSeed: UInt64
    public var libraries = LibraryList()
    public internal(set) var metrics = MasterMetrics()
    var launches: [UInt64: MasterLaunch] = [:]
    var nextLaunch: UInt64
    /// Slaves that bring processes along, by their links, until they have told of them all.
    var arrivals: [LinkID: KeptArrival] = [:]
    /// The launches here that hold what was a launch of another master's.
    var adoptedLaunches: [AdoptedLaunch: UInt64] = [:]
    var nextProcess: Int32 = ProcessNumber.first
    /// Every process that is starting or running, by its number.
    var placeOfProcess: [Int32: RankPlace] = [:]
    /// Whose node's death was theirs.
    public internal(set) var lostProcesses = LostProcesses()
    /// Orders that nodes have not answered, by number.
    var controls: [UInt32: PendingControl] = [:]
    var nextControl: UInt32 = 1
    var hooks: HookSchedule
    /// Questions that not all nodes have answered, by number.
    var questions: [UInt32: NodeQuestion] = [:]
    var nextQuestion: UInt32 = 1
    var pingNanoseconds: UInt64
    var relayEffects: [RelayEffect] = []

    /// Ranks of one launch; more are refused before anything is allocated.
    public static let rankLimit = 1 << 18
    static let killSignal: Int32 = 9
    static let progressIntervalNanoseconds: UInt64 = 50_000_000
    /// The caller hears that a launch is complete before the tree does. Where many daemons share a
    /// processor, what they do at the end of a launch (and the programs that then run in earnest)
    /// would keep it from running: 0.3 s were seen with 1023 nodes on two cores.
    static let callersStartNanoseconds: UInt64 = 20_000_000

    /// - Parameter firstLaunch: differs for each start of the daemon, so that no number of an
    /// earlier
    ///   master's launches comes again. So does `identity`; `cookieSeed` is not to be guessed.
    public init(
        configuration: Configuration, firstLaunch: UInt64, identity: UInt64 = 1,
        cookieSeed: UInt64 = 1, now: UInt64
    ) {
        precondition(identity != 0)
        self.identity = identity
        self.cookieSeed = cookieSeed
        self.configuration = configuration
        nodes = NodeTable(
            numbers: configuration.nodes, addresses: configuration.addresses,
            newcomers: configuration.newcomers)
        hooks = HookSchedule(configuration.hooks)
        nextLaunch = firstLaunch
        pingNanoseconds = now
    }

    public var launchCount: Int { launches.count }

    /// Takes another configuration over: nodes that are no longer configured, or whose address is
    /// another now, are disconnected; the others stay as they are, with their processes.
    public mutating func reconfigure(
        _ changed: Configuration, now: UInt64, effects: inout [MasterEffect]
    ) {
        configuration = changed
        hooks.limits = changed.hooks
        for record in nodes.leavers(numbers: changed.nodes, addresses: changed.addresses) {
            guard let link = record.link else { continue }
            let reason = "node \(record.node) is not configured any more"
            effects.append(.refuse(link, reason: reason))
            controlIsLost(link, reason: reason, now: now, effects: &effects)
        }
        nodes.reconfigure(
            numbers: changed.nodes, addresses: changed.addresses, newcomers: changed.newcomers)
    }

    // MARK: Slaves

    /// A later frame on a control link.
    public mutating func receiveControl(
        _ header: FrameHeader, body: [UInt8], from link: LinkID, now: UInt64,
        effects: inout [MasterEffect]
    ) throws(WireError) {
        guard let node = nodes.node(of: link) else {
            effects.append(.refuse(link, reason: "a \(header.kind) frame before hello"))
            arrivals[link] = nil
            return
        }
        nodes.heard(link, now: now)
        switch header.kind {
        case .pong, .acknowledge: break
        case .refusal:
            // It leaves, and nothing of it is left behind.
            let sentence = try Refusal(decoding: body).sentence
            effects.append(.refuse(link, reason: "it has left"))
            controlIsLost(link, reason: sentence, now: now, effects: &effects)
        case .leave:
            // It takes its processes along.
            effects.append(.refuse(link, reason: "it has left"))
            controlIsLost(
                link, reason: String(decoding: body, as: UTF8.self), cause: .nodeLeft, now: now,
                effects: &effects)
        case .exit:
            for record in try ExitRecord.records(decoding: body) {
                rankExited(record, on: node, effects: &effects)
            }
        case .stop:
            for record in try StopRecord.records(decoding: body) {
                rankStopped(record, on: node, effects: &effects)
            }
        case .answer:
            // From the root of a launch that a program on its node has asked for.
            let answer = try Answer(decoding: body)
            withRelay(header.launch, now: now, effects: &effects) { relay, relayEffects in
                relay.receive(
                    header, answer: answer, from: link, now: now, effects: &relayEffects)
            }
        case .alive:
            withRelay(header.launch, now: now, effects: &effects) { relay, relayEffects in
                relay.receive(header, answer: nil, from: link, now: now, effects: &relayEffects)
            }
        case .nodeControlled:
            receive(
                try NodeControlAnswer(decoding: body), number: header.subject, from: node,
                now: now, effects: &effects)
        case .processes:
            receive(
                try ProcessReport(decoding: body), number: header.subject,
                isLast: header.flags.contains(.final), from: node, effects: &effects)
        case .book:
            receiveBook(
                String(decoding: body, as: UTF8.self), number: header.subject, from: node,
                effects: &effects)
        case .query:
            let verdict = verdict(on: header.launch, node: node)
            effects.append(
                .control(
                    link,
                    frame: FrameHeader.frame(
                        FrameHeader(.verdict, launch: header.launch), body: [verdict.rawValue])))
        default: throw .unknownKind(header.kind.rawValue)
        }
    }

    private func verdict(on launch: UInt64, node: Int32) -> Verdict {
        guard let known = launches[launch], !known.isCondemned else { return .end }
        let own = known.ranks.filter { $0.node == node }
        // The root of a tree need not have ranks of its own.
        if own.isEmpty, known.origin?.node == node { return known.isReported ? .keep : .wait }
        if own.contains(where: { $0.state == .placed || $0.state == .ended }) {
            return known.isReported ? .keep : .wait
        }
        return own.contains { $0.state == .waiting } ? .wait : .end
    }

    // MARK: Relay

    /// A frame on a relay link to one of the root's children.
    public mutating func receiveRelay(
        _ header: FrameHeader, body: [UInt8], from link: LinkID, now: UInt64,
        effects: inout [MasterEffect]
    ) {
        let answer: Answer?
        switch header.kind {
        case .answer:
            do {
                answer = try Answer(decoding: body)
            } catch {
                effects.append(.refuse(link, reason: "answer: \(error)"))
                return
            }
        case .credit, .attach, .alive: answer = nil
        default:
            effects.append(.refuse(link, reason: "a \(header.kind) frame on a relay link"))
            return
        }
        withRelay(header.launch, now: now, effects: &effects) { relay, relayEffects in
            relay.receive(header, answer: answer, from: link, now: now, effects: &relayEffects)
        }
    }

    public mutating func linkIsReady(
        launch: UInt64, node: Int32, link: LinkID, now: UInt64, effects: inout [MasterEffect]
    ) {
        withRelay(launch, now: now, effects: &effects) { relay, relayEffects in
            relay.linkIsReady(node: node, link: link, now: now, effects: &relayEffects)
        }
    }

    public mutating func linkFailed(
        launch: UInt64, node: Int32, errorNumber: Int32, reason: String, now: UInt64,
        effects: inout [MasterEffect]
    ) {
        withRelay(launch, now: now, effects: &effects) { relay, relayEffects in
            relay.linkFailed(
                node: node, errorNumber: errorNumber, reason: reason, now: now,
                effects: &relayEffects)
        }
    }

    public mutating func relayLinkIsLost(
        _ link: LinkID, reason: String, now: UInt64, effects: inout [MasterEffect]
    ) {
        for launch in launches.keys.sorted() where launches[launch]?.isReported == false {
            withRelay(launch, now: now, effects: &effects) { relay, relayEffects in
                relay.linkIsLost(link, reason: reason, now: now, effects: &relayEffects)
            }
        }
    }

    public mutating func heard(from link: LinkID, launch: UInt64, now: UInt64) {
        launches[launch]?.relay.heard(from: link, now: now)
    }

    // MARK: Time

    public var deadlineNanoseconds: UInt64 {
        let ping = pingNanoseconds + configuration.pingTimeoutNanoseconds / 2
        let relays = launches.values.lazy.map {
            $0.isReported ? $0.finishNanoseconds ?? .max : $0.relay.deadlineNanoseconds
        }
        return min(
            ping, hooks.deadlineNanoseconds, relays.min() ?? .max, questionDeadlineNanoseconds,
            cutDeadlineNanoseconds, arrivalDeadlineNanoseconds)
    }

    public mutating func tick(now: UInt64, effects: inout [MasterEffect]) {
        endOverdueHooks(now: now, effects: &effects)
        ping(now: now, effects: &effects)
        endOverdueCuts(now: now, effects: &effects)
        endOverdueArrivals(now: now, effects: &effects)
        for launch in launches.keys.sorted() where launches[launch]?.isReported == false {
            withRelay(launch, now: now, effects: &effects) { relay, relayEffects in
                relay.tick(now: now, effects: &relayEffects)
            }
        }
        for launch in launches.keys.sorted() {
            guard let time = launches[launch]?.finishNanoseconds, now >= time else { continue }
            finish(launch, effects: &effects)
        }
        endOverdueQuestions(now: now, effects: &effects)
    }

    func nodeRecord(_ node: Int32) -> NodeRecord? { nodes.record(of: node) }
}

/// Numbers of processes that have no ghost on the front end, as those of `bpsh` and of callers on
/// nodes: above any pid of a kernel with the usual limit of 4194304, so that a mistaken kill(2)
/// hits nobody.
public enum ProcessNumber {
    public static let first: Int32 = 1 << 23
    public static let last: Int32 = .max - 1
}
