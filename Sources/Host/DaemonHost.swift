import CSystem
package import Link
package import DaemonLog
import Logging
package import Relay
package import Ring
package import System
package import Wire

/// What a daemon serves: its decisions, and the images that they are about. A class, so that no
/// access ever copies the tables.
package protocol RelayStore: AnyObject, ChunkStore {
    associatedtype State: RelayState
    var state: State { get set }
}

/// How a daemon's host is set up.
package struct HostConfiguration: Sendable {
    /// Where other daemons connect.
    package var listenAddress: SocketAddress
    /// Where programs of this machine connect: a path, or "@" and an abstract name.
    package var socketName: String
    /// The number that relay links and programs are told; -1: the master.
    package var node: Int32
    /// Submission entries of the ring.
    package var ringEntryCount: Int
    package var socketBufferByteCount: Int
    package var forbidsRing: Bool
    /// Say once a minute that peers are not authenticated.
    package var warnsOfInsecurity: Bool

    package init(
        listenAddress: SocketAddress, socketName: String, node: Int32, ringEntryCount: Int,
        socketBufferByteCount: Int, forbidsRing: Bool, warnsOfInsecurity: Bool
    ) {
        self.listenAddress = listenAddress
        self.socketName = socketName
        self.node = node
        self.ringEntryCount = ringEntryCount
        self.socketBufferByteCount = socketBufferByteCount
        self.forbidsRing = forbidsRing
        self.warnsOfInsecurity = warnsOfInsecurity
    }
}

/// Kinds of the host's own ring operations: the links have 1 to 5, a daemon's begin at 16.
enum HostOperation {
    static let signal: UInt8 = 6
    static let programAccept: UInt8 = 7
    static let programReadable: UInt8 = 8
    static let programWritable: UInt8 = 9

    /// SIGHUP asks for the configuration to be read again.
    static let hangUpSignal = 1
}

/// What both daemons stand on: one ring; on it the links to other daemons, the relay links that are
/// kept warm from launch to launch, and the programs of this machine; and the effects that its
/// state has asked for and nobody has carried out yet. `HostedDaemon` drives it.
package struct DaemonHost<Store: RelayStore>: ~Copyable {
    package typealias Effect = Store.State.Effect

    package var log: DaemonLog
    package let store: Store
    package var ring: Ring
    package var links: LinkTable
    package var programs: Programs
    /// Where other daemons reach this one.
    package let address: NodeAddress
    /// Differs for each start of the daemon.
    package let incarnation: UInt64
    /// The number that relay links and programs are told; -1: the master.
    package var node: Int32
    /// Wanted by the state, not carried out yet.
    package var effects: [Effect] = []
    /// SIGHUP has come.
    var wantsReload = false
    /// Set: the daemon ends with it.
    package var exitCode: Int32?
    var peers = RelayPeers()
    var sessions = ControlSessions()
    private var events: [LinkEvent] = []
    private let signals: OwnedDescriptor
    private var warningNanoseconds: UInt64

    package init(
        _ configuration: HostConfiguration, store: Store, log: DaemonLog
    ) throws(SystemCallError) {
        _ = bp_raise_open_files()
        let signals = OwnedDescriptor(
            adopting: Int32(try check("signalfd", bp_signal_descriptor())))
        let ring = try Ring(
            entries: configuration.ringEntryCount, forbidsUring: configuration.forbidsRing)
        let listener = try Socket.listening(on: configuration.listenAddress)
        guard let bound = Socket.localAddress(of: listener.number) else {
            throw SystemCallError("read the listening address", errorNumber: 5)
        }
        programs = try Programs(socketName: configuration.socketName)
        let now = Clock.monotonicNanoseconds
        self.log = log
        self.store = store
        self.signals = signals
        self.ring = ring
        node = configuration.node
        address = NodeAddress(bound)
        incarnation = now ^ UInt64(UInt32(bitPattern: bp_own_pid())) << 32
        warningNanoseconds = configuration.warnsOfInsecurity ? now : .max
        links = LinkTable(socketBufferByteCount: configuration.socketBufferByteCount)
        links.listen(on: listener, ring: &self.ring)
    }

    // MARK: Rounds

    mutating func start() {
        switch ring.backEnd {
        case .uring: log.daemon.debug("back end: io_uring")
        case .epoll: log.daemon.notice("back end: \(ring.backEnd)")
        }
        ring.poll(
            signals.number, for: .readable, tag: OperationTag(kind: HostOperation.signal, slot: 0))
        programs.listener.start(on: &ring)
    }

    /// The earlier of the daemon's deadline and the host's own.
    func deadline(_ daemon: UInt64) -> UInt64? {
        let earliest = min(
            daemon, warningNanoseconds, links.deadlineNanoseconds ?? .max,
            programs.listener.resumeNanoseconds ?? .max)
        return earliest == .max ? nil : earliest
    }

    mutating func tick(now: UInt64) {
        warnOfInsecurity(now: now)
        links.tick(now: now, ring: &ring)
        programs.listener.tick(now: now, ring: &ring)
    }

    private mutating func warnOfInsecurity(now: UInt64) {
        guard now >= warningNanoseconds else { return }
        warningNanoseconds = now + 60_000_000_000
        log.link.warning("peers are not authenticated: whoever reaches the port is trusted")
    }

    mutating func takeSignal() {
        let number = bp_next_signal(signals.number)
        guard number > 0, number != HostOperation.hangUpSignal else {
            wantsReload = number > 0
            ring.poll(
                signals.number, for: .readable,
                tag: OperationTag(kind: HostOperation.signal, slot: 0))
            return
        }
        log.daemon.info("ending: signal \(number)")
        exitCode = 0
    }

    /// Effects since the last call. They go back by `giveBack`, so that the list keeps its room.
    package mutating func takeEffects() -> [Effect] {
        var taken: [Effect] = []
        swap(&taken, &effects)
        return taken
    }

    package mutating func giveBack(_ taken: consuming [Effect]) {
        guard effects.isEmpty else { return }
        taken.removeAll(keepingCapacity: true)
        swap(&taken, &effects)
    }

    mutating func takeEvents() -> [LinkEvent] {
        links.takeEvents(into: &events)
        let taken = events
        events.removeAll(keepingCapacity: true)
        return taken
    }

    /// Goes on with links that stopped for an event.
    /// - Returns: whether there were any.
    mutating func resumeLinks() -> Bool {
        guard links.hasPausedLinks else { return false }
        var store = store
        links.resume(store: &store, ring: &ring)
        return true
    }

    func acceptingPauses(errorNumber: Int32) {
        log.link.error("other daemons wait: \(SystemCallError("accept", errorNumber: errorNumber))")
    }

    mutating func handleLinks(_ completion: Completion) {
        var store = store
        links.handle(completion, store: &store, ring: &ring)
    }

    /// What is kept, by name: all of it is 0 once nothing is under way.
    package var book: [(name: String, count: Int)] {
        [
            ("relay links being opened", peers.openingCount),
            ("effects not carried out", effects.count),
        ]
    }

    // MARK: Links

    package mutating func send(_ frame: [UInt8], on link: LinkID) {
        var frame = frame
        guard let connection = sessions.willSend(&frame, on: link) else { return }
        links.send(frame, on: connection, store: store, ring: &ring)
    }

    package mutating func refuse(_ link: LinkID, reason: String) {
        guard sessions.contains(link) else {
            links.refuse(link, reason: reason, store: store, ring: &ring)
            return
        }
        guard let connection = sessions.end(link) else { return }
        links.refuse(connection, reason: reason, store: store, ring: &ring)
    }

    package mutating func close(_ link: LinkID) {
        guard !sessions.contains(link) else {
            endSession(link)
            return
        }
        links.close(link, ring: &ring)
        peers.forget(link)
    }

    package mutating func connect(
        to address: NodeAddress, from local: NodeAddress = .unspecified, hello: Hello
    ) -> LinkID {
        links.connect(to: address, from: local, hello: hello, ring: &ring)
    }

    /// Whether this is a relay link that this daemon opened.
    package func isPeer(_ link: LinkID) -> Bool { peers.contains(link) }

    package mutating func forgetPeer(_ link: LinkID) { peers.forget(link) }

    mutating func peerIsReady(_ link: LinkID) {
        let now = Clock.monotonicNanoseconds
        for waiter in peers.takeWaiters(of: link) {
            store.state.linkIsReady(
                launch: waiter.launch, node: waiter.node, link: link, now: now, effects: &effects)
        }
    }

    mutating func peerFailed(_ link: LinkID, errorNumber: Int32, reason: String) {
        let now = Clock.monotonicNanoseconds
        let waiters = peers.takeWaiters(of: link)
        peers.forget(link)
        for waiter in waiters {
            store.state.linkFailed(
                launch: waiter.launch, node: waiter.node, errorNumber: errorNumber,
                reason: reason, now: now, effects: &effects)
        }
    }

    // MARK: Relay

    package mutating func carryOut(_ effect: RelayEffect, launch: UInt64) {
        switch effect {
        case .connect(let node, let address): connect(launch, node: node, address: address)
        case .send(let link, let frame): send(frame, on: link)
        case .forward(let link, let chunk):
            links.forward(chunk: chunk, launch: launch, on: link, store: store, ring: &ring)
        case .close(let link): close(link)
        case .note(let text): log.relay.info("\(text)")
        }
    }

    private mutating func connect(_ launch: UInt64, node: Int32, address: NodeAddress) {
        let waiter = RelayPeers.Waiter(launch, node)
        switch peers.want(waiter, at: address) {
        case .ready(let link):
            store.state.linkIsReady(
                launch: launch, node: node, link: link, now: Clock.monotonicNanoseconds,
                effects: &effects)
        case .opening: break
        case .absent:
            log.relay.debug("launch \(launch): connecting to node \(node) at \(address)")
            let hello = Hello(
                role: .relay, node: self.node, address: self.address, incarnation: incarnation)
            let link = connect(to: address, hello: hello)
            peers.opening(link, to: address, for: waiter)
        }
    }
}
