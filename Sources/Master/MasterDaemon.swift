import CLocalProtocol
import CSystem
import Link
public import Logging
import MasterCore
import Relay
import Ring
public import System
import Wire

/// The master: a ring, the slaves' control links, the relay links to the first nodes of each tree,
/// the local clients, and the decisions of `MasterState` carried out.
public struct MasterDaemon: ~Copyable {
    /// Kinds of the daemon's own ring operations; the links have 1 to 5.
    enum OperationKind {
        static let clientAccept: UInt8 = 16
        static let clientReadable: UInt8 = 17
        static let clientWritable: UInt8 = 18
        static let signal: UInt8 = 19
    }

    let configuration: MasterConfiguration
    let logger: Logger
    var ring: Ring
    var links: LinkTable
    var store: LaunchStore
    var peers = RelayPeers()
    let signals: OwnedDescriptor
    /// Where local programs connect.
    var localListener: Acceptor
    /// This program itself, which is also the capture helper that libbproc starts.
    let helper: OwnedDescriptor
    let address: NodeAddress
    let incarnation: UInt64
    var clients: [UInt64: LocalClient] = [:]
    var nextClient: UInt64 = 1
    var streams: [UInt64: JobStreams] = [:]
    /// Exits of one round of events, sent to each client in one message.
    var exits: [ClientID: [UInt8]] = [:]
    var effects: [MasterEffect] = []
    var events: [LinkEvent] = []
    var exitCode: Int32?
    private var nextWarningNanoseconds: UInt64

    public init(_ configuration: MasterConfiguration, logger: Logger) throws(SystemCallError) {
        self.configuration = configuration
        self.logger = logger
        _ = bp_raise_open_files()
        let signals = OwnedDescriptor(
            adopting: Int32(try check("signalfd", bp_signal_descriptor())))
        let ring = try Ring(entries: 1024, forbidsUring: configuration.forbidsRing)
        let listener = try Socket.listening(on: configuration.listenAddress)
        let helper = OwnedDescriptor(
            adopting: Int32(
                try check(
                    "open this program",
                    unsafe "/proc/self/exe".withCString { unsafe bp_open_read_only($0) })))
        // Anyone may connect; what each may do depends on who it is.
        let local = OwnedDescriptor(
            adopting: Int32(
                try check(
                    "listen on \(configuration.socketPath)",
                    unsafe configuration.socketPath.withCString { unsafe bp_unix_listen($0, 0o666) }
                )))
        let now = Clock.monotonicNanoseconds
        self.signals = signals
        self.ring = ring
        self.helper = helper
        localListener = Acceptor(
            local, tag: OperationTag(kind: OperationKind.clientAccept, slot: 0))
        incarnation = now
        nextWarningNanoseconds = configuration.warnsOfInsecurity ? now : .max
        address = NodeAddress(
            Socket.localAddress(of: listener.number) ?? configuration.listenAddress)
        links = LinkTable(socketBufferByteCount: configuration.socketBufferByteCount)
        let state = MasterState(
            configuration: MasterState.Configuration(
                nodeCount: configuration.nodeCount,
                pingTimeoutNanoseconds: UInt64(configuration.pingTimeoutSeconds) * 1_000_000_000,
                coreCount: Int(bp_core_count())),
            firstLaunch: now, now: now)
        store = LaunchStore(state: state)
        links.listen(on: listener, ring: &self.ring)
    }

    /// The port slaves connect to.
    public var port: UInt16 { address.port }

    /// Runs until it is told to end.
    /// - Returns: the exit code.
    public mutating func run() -> Int32 {
        switch ring.backEnd {
        case .uring: logger.debug("back end: io_uring")
        case .epoll: logger.notice("back end: \(ring.backEnd)")
        }
        logger.info("master of \(configuration.nodeCount) nodes at \(address)")
        ring.poll(
            signals.number, for: .readable, tag: OperationTag(kind: OperationKind.signal, slot: 0))
        localListener.start(on: &ring)
        while exitCode == nil {
            do throws(SystemCallError) {
                try ring.waitForCompletions(untilNanoseconds: deadline)
            } catch {
                logger.critical("\(error)")
                return 70
            }
            while let completion = ring.nextCompletion() {
                handle(completion)
                settle()
            }
            let now = Clock.monotonicNanoseconds
            warnOfInsecurity(now: now)
            links.tick(now: now, ring: &ring)
            localListener.tick(now: now, ring: &ring)
            if now >= store.state.deadlineNanoseconds {
                store.state.tick(now: now, effects: &effects)
                settle()
            }
        }
        _ = unsafe configuration.socketPath.withCString { unsafe bp_unlink_path($0) }
        return exitCode ?? 0
    }

    private var deadline: UInt64 {
        min(
            store.state.deadlineNanoseconds, nextWarningNanoseconds,
            links.deadlineNanoseconds ?? .max, localListener.resumeNanoseconds ?? .max)
    }

    private mutating func warnOfInsecurity(now: UInt64) {
        guard now >= nextWarningNanoseconds else { return }
        nextWarningNanoseconds = now + 60_000_000_000
        logger.warning("peers are not authenticated: whoever reaches the port is trusted")
    }

    private mutating func handle(_ completion: Completion) {
        switch completion.tag.kind {
        case LinkTable.OperationKind.range:
            links.handle(completion, store: &store, ring: &ring)
        case OperationKind.clientAccept: acceptClient(completion)
        case OperationKind.clientReadable:
            if let client = client(completion.tag) { receive(from: client) }
        case OperationKind.clientWritable:
            if let client = client(completion.tag) {
                client.isPollingWritable = false
                flush(client)
            }
        case OperationKind.signal:
            let number = bp_next_signal(signals.number)
            logger.info("ending: signal \(number)")
            exitCode = 0
        default: preconditionFailure("unknown operation kind \(completion.tag.kind)")
        }
    }

    /// Carries out effects and acts on link events until neither brings more.
    mutating func settle() {
        while true {
            if !effects.isEmpty {
                carryOutEffects()
                continue
            }
            links.takeEvents(into: &events)
            if !events.isEmpty {
                let taken = events
                events.removeAll(keepingCapacity: true)
                for event in taken { handle(event) }
                continue
            }
            guard links.hasPausedLinks else { break }
            links.resume(store: &store, ring: &ring)
        }
        sendExits()
    }

    // MARK: Links

    private mutating func handle(_ event: LinkEvent) {
        let now = Clock.monotonicNanoseconds
        switch event {
        case .accepted(let link, let hello, let peer):
            guard hello.role == .slave else {
                links.refuse(
                    link, reason: "the master takes slaves here, not relays", store: store,
                    ring: &ring)
                return
            }
            store.state.receiveHello(hello, peer: peer, from: link, now: now, effects: &effects)
        case .ready(let link):
            for waiter in peers.takeWaiters(of: link) {
                store.state.linkIsReady(
                    launch: waiter.launch, node: waiter.node, link: link, now: now,
                    effects: &effects)
            }
        case .failed(let link, let errorNumber, let reason):
            let waiters = peers.takeWaiters(of: link)
            peers.forget(link)
            for waiter in waiters {
                store.state.linkFailed(
                    launch: waiter.launch, node: waiter.node, errorNumber: errorNumber,
                    reason: reason, now: now, effects: &effects)
            }
        case .frame(let link, let header, let body):
            if peers.contains(link) {
                receiveRelay(header, body: body, from: link, now: now)
            } else {
                receiveControl(header, body: body, from: link, now: now)
            }
        case .chunkBegins, .chunk: break
        case .acceptingPauses(let errorNumber):
            logger.error("slaves wait: \(SystemCallError("accept", errorNumber: errorNumber))")
        case .lost(let link, let reason):
            if peers.contains(link) {
                peers.forget(link)
                store.state.relayLinkIsLost(link, reason: reason, now: now, effects: &effects)
            } else {
                store.state.controlIsLost(link, reason: reason, now: now, effects: &effects)
            }
        }
    }

    private mutating func receiveRelay(
        _ header: FrameHeader, body: [UInt8], from link: LinkID, now: UInt64
    ) {
        if header.kind == .refusal {
            let sentence = (try? Refusal(decoding: body))?.sentence ?? "no reason given"
            logger.warning("a node refuses the master's relay link: \(sentence)")
            return
        }
        store.state.receiveRelay(header, body: body, from: link, now: now, effects: &effects)
    }

    private mutating func receiveControl(
        _ header: FrameHeader, body: [UInt8], from link: LinkID, now: UInt64
    ) {
        do throws(WireError) {
            switch header.kind {
            case .output: output(header, body: body, from: link)
            case .inputCredit: try inputCredit(header, body: body, from: link)
            default:
                try store.state.receiveControl(
                    header, body: body, from: link, now: now, effects: &effects)
            }
        } catch {
            let reason = "\(error)"
            links.refuse(link, reason: reason, store: store, ring: &ring)
            store.state.controlIsLost(link, reason: reason, now: now, effects: &effects)
        }
    }

    // MARK: Effects

    private mutating func carryOutEffects() {
        var taken: [MasterEffect] = []
        swap(&taken, &effects)
        for effect in taken { carryOut(effect) }
        if effects.isEmpty {
            taken.removeAll(keepingCapacity: true)
            swap(&taken, &effects)
        }
    }

    private mutating func carryOut(_ effect: MasterEffect) {
        switch effect {
        case .relay(let launch, let effect): carryOut(effect, launch: launch)
        case .control(let link, let frame): links.send(frame, on: link, store: store, ring: &ring)
        case .refuse(let link, let reason):
            logger.warning("closing \(link): \(reason)")
            links.refuse(link, reason: reason, store: store, ring: &ring)
        case .failed(let client, let failure): tellFailure(failure, to: client)
        case .launched(let client, let report): tellLaunched(report, to: client)
        case .progress(let client, let progress): tellProgress(progress, to: client)
        case .exited(let client, let exit): noteExit(exit, of: client)
        case .closeStorage(let launch): store.entries[launch] = nil
        case .forget(let launch): streams[launch] = nil
        case .note(let text): logger.info("\(text)")
        }
    }

    private mutating func carryOut(_ effect: RelayEffect, launch: UInt64) {
        switch effect {
        case .connect(let node, let address):
            let waiter = RelayPeers.Waiter(launch, node)
            switch peers.want(waiter, at: address) {
            case .ready(let link):
                store.state.linkIsReady(
                    launch: launch, node: node, link: link, now: Clock.monotonicNanoseconds,
                    effects: &effects)
            case .opening: break
            case .absent:
                let hello = Hello(
                    role: .relay, node: -1, address: self.address, incarnation: incarnation)
                let link = links.connect(to: address, hello: hello, ring: &ring)
                peers.opening(link, to: address, for: waiter)
            }
        case .send(let link, let frame): links.send(frame, on: link, store: store, ring: &ring)
        case .forward(let link, let chunk):
            links.forward(chunk: chunk, launch: launch, on: link, store: store, ring: &ring)
        case .close(let link):
            links.close(link, ring: &ring)
            peers.forget(link)
        case .note(let text): logger.info("\(text)")
        }
    }
}
