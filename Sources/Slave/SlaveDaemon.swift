import CSystem
import Link
public import Logging
import ProcessImage
import Relay
import Ring
import SlaveCore
public import System
import Wire

/// One slave: a ring, its links, and the decisions of `SlaveState` carried out.
public struct SlaveDaemon: ~Copyable {
    /// Kinds of the daemon's own ring operations; the links have 1 to 5.
    enum OperationKind {
        static let status: UInt8 = 16
        static let childExit: UInt8 = 17
        static let standardOutput: UInt8 = 18
        static let standardError: UInt8 = 19
        static let input: UInt8 = 20
        static let signal: UInt8 = 21
    }

    let configuration: SlaveConfiguration
    let logger: Logger
    var ring: Ring
    var links: LinkTable
    var store: ImageStore
    var arena: ImageArena
    var peers = RelayPeers()
    var ranks = RankTable()
    let restorer: OwnedDescriptor
    /// Where restorers say what became of them: one pipe for all, records of 32 bytes.
    let status: Pipe
    /// /dev/null, opened before a root without one is entered.
    let nullNumber: Int32?
    let isPrivileged: Bool
    let signals: OwnedDescriptor
    let address: NodeAddress
    let incarnation: UInt64
    var control: LinkID?
    var isWelcome = false
    var masterHeardNanoseconds: UInt64 = 0
    var heartbeatNanoseconds: UInt64 = 0
    var reconnectNanoseconds: UInt64?
    var effects: [SlaveEffect] = []
    var events: [LinkEvent] = []
    var exitCode: Int32?
    private var nextWarningNanoseconds: UInt64
    /// Called once when the master has let this slave in.
    var onWelcome: (() -> Void)?

    public init(
        _ configuration: SlaveConfiguration, logger: Logger, onWelcome: @escaping () -> Void
    ) throws(SystemCallError) {
        self.configuration = configuration
        self.logger = logger
        self.onWelcome = onWelcome
        _ = bp_raise_open_files()
        let signals = OwnedDescriptor(
            adopting: Int32(try check("signalfd", bp_signal_descriptor())))
        let ring = try Ring(entries: 64, forbidsUring: configuration.forbidsRing)
        let listener = try Socket.listening(on: configuration.listenAddress)
        guard let bound = Socket.localAddress(of: listener.number) else {
            throw SystemCallError("read the listening address", errorNumber: 5)
        }
        let arena = try ImageArena(warmByteCount: configuration.arenaByteCount)
        let status = try Pipe(nonblockingRead: true)
        let restorer = try Restorer.makeFile()
        let nullNumber = unsafe "/dev/null".withCString { unsafe bp_open_read_write($0) }
        if let root = configuration.rootDirectory {
            try check("chroot to \(root)", unsafe root.withCString { unsafe bp_change_root($0) })
        }
        incarnation = Clock.monotonicNanoseconds ^ UInt64(UInt32(bitPattern: bp_own_pid())) << 32
        nextWarningNanoseconds =
            configuration.warnsOfInsecurity ? Clock.monotonicNanoseconds : .max
        self.signals = signals
        self.ring = ring
        self.arena = arena
        self.status = status
        self.restorer = restorer
        isPrivileged = bp_effective_user() == 0
        self.nullNumber = nullNumber >= 0 ? Int32(nullNumber) : nil
        address = NodeAddress(bound)
        links = LinkTable(socketBufferByteCount: configuration.socketBufferByteCount)
        store = ImageStore(state: SlaveState(node: configuration.node ?? Hello.noNode))
        links.listen(on: listener, ring: &self.ring)
    }

    /// Runs until it is told to end or the master is lost for good.
    /// - Returns: the exit code.
    public mutating func run() -> Int32 {
        switch ring.backEnd {
        case .uring: logger.debug("back end: io_uring")
        case .epoll: logger.notice("back end: \(ring.backEnd)")
        }
        if let reason = arena.fallbackReason {
            logger.notice("images are received into fresh memory each time: \(reason)")
        }
        ring.poll(
            signals.number, for: .readable, tag: OperationTag(kind: OperationKind.signal, slot: 0))
        ring.poll(
            status.reading.number, for: .readable,
            tag: OperationTag(kind: OperationKind.status, slot: 0))
        connectToMaster()
        settle()
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
            if let deadline, now >= deadline { tick(now: now) }
            settle()
        }
        endAllRanks()
        return exitCode ?? 0
    }

    private var deadline: UInt64? {
        var earliest = store.state.deadlineNanoseconds ?? .max
        if isWelcome { earliest = min(earliest, masterHeardNanoseconds + silenceLimit) }
        if let reconnectNanoseconds { earliest = min(earliest, reconnectNanoseconds) }
        earliest = min(earliest, nextWarningNanoseconds, links.deadlineNanoseconds ?? .max)
        return earliest == .max ? nil : earliest
    }

    /// The master pings twice in a heartbeat; one and a half without a word mean that it is gone.
    private var silenceLimit: UInt64 { heartbeatNanoseconds + heartbeatNanoseconds / 2 }

    private mutating func tick(now: UInt64) {
        links.relaxLowWater()
        links.tick(now: now, ring: &ring)
        store.state.tick(now: now, effects: &effects)
        if isWelcome, now >= masterHeardNanoseconds + silenceLimit {
            loseMaster("no word for \((now - masterHeardNanoseconds) / 1_000_000) ms")
        }
        if now >= nextWarningNanoseconds {
            nextWarningNanoseconds = now + 60_000_000_000
            logger.warning("peers are not authenticated: whoever reaches the port is trusted")
        }
        if let time = reconnectNanoseconds, now >= time {
            reconnectNanoseconds = nil
            connectToMaster()
        }
    }

    private mutating func handle(_ completion: Completion) {
        switch completion.tag.kind {
        case LinkTable.OperationKind.range:
            links.handle(completion, store: &store, ring: &ring)
        case OperationKind.status: readStatus()
        case OperationKind.childExit: childEnded(completion.tag)
        case OperationKind.standardOutput: outputIsReady(completion.tag, stream: 1)
        case OperationKind.standardError: outputIsReady(completion.tag, stream: 2)
        case OperationKind.input: inputIsReady(completion.tag)
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
    }

    // MARK: Master

    private mutating func connectToMaster() {
        let hello = Hello(
            role: .slave, node: configuration.node ?? Hello.noNode, address: address,
            incarnation: incarnation)
        control = links.connect(
            to: NodeAddress(configuration.master), hello: hello, ring: &ring)
    }

    mutating func loseMaster(_ reason: String) {
        if let control { links.close(control, ring: &ring) }
        control = nil
        isWelcome = false
        store.state.controlIsLost(effects: &effects)
        guard let seconds = configuration.reconnectSeconds else {
            logger.error("the master \(configuration.master) is lost: \(reason)")
            exitCode = 1
            return
        }
        logger.warning(
            "the master \(configuration.master) is lost: \(reason); trying again in \(seconds) s")
        reconnectNanoseconds = Clock.monotonicNanoseconds + UInt64(seconds) * 1_000_000_000
    }

    mutating func welcome(_ welcome: Welcome) {
        isWelcome = true
        heartbeatNanoseconds = UInt64(welcome.heartbeatMilliseconds) * 1_000_000
        if store.state.node != welcome.node { store.state = SlaveState(node: welcome.node) }
        logger.info("node \(welcome.node) of the master \(configuration.master)")
        onWelcome?()
        onWelcome = nil
    }
}
