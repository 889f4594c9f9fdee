import CSystem
package import Host
import Link
package import DaemonLog
import Logging
import ProcessImage
import Relay
package import Ring
import SlaveCore
package import System
import Wire

/// One slave: its links, its processes, the programs of its node, and the decisions of `SlaveState`
/// carried out.
package struct SlaveDaemon: HostedDaemon, ~Copyable {
    /// Kinds of the daemon's own ring operations.
    enum OperationKind {
        static let status: UInt8 = 16
        static let childExit: UInt8 = 17
        static let standardOutput: UInt8 = 18
        static let standardError: UInt8 = 19
        static let input: UInt8 = 20
        static let namespaceEnd: UInt8 = 21
        static let childNews: UInt8 = 22
    }

    let configuration: SlaveConfiguration
    package var host: DaemonHost<ImageStore>
    var arena: ImageArena
    var ranks = RankTable()
    /// The sessions that ranks of these launches lead or have led here.
    var sessions: [UInt64: Set<Int32>] = [:]
    /// What is left of launches that are over, oldest first.
    var partings: [Parting] = []
    /// Processes with descriptors to set up, oldest first; some are done by now.
    var setUps: [Overdue] = []
    /// Placed processes that wait for the rest of their launch, but not for ever, oldest first.
    var waits: [Overdue] = []
    /// By launch.
    var arrivals: [UInt64: Arrival] = [:]
    let restorer: OwnedDescriptor
    /// /dev/null, opened before a root without one is entered.
    let nullNumber: Int32?
    let isPrivileged: Bool
    /// Readable when a child has stopped, goes on, or has ended.
    let children: OwnedDescriptor
    /// Where processes get the pids that they have on the front end; nil: they have others here.
    var namespace: PidNamespace?
    /// Without a namespace: orphans of its ranks become its children.
    var adoptsOrphans = false
    var guarded: GuardedSessions?
    /// Which other daemons share its processors; seen before a root without /proc is entered.
    let machine: Hello.Machine
    /// The link to the master that has let this slave in; nil: none has.
    var control: LinkID?
    /// The master that was left, until it has heard of that.
    var former: FormerMaster?
    /// A connection to a master that has not answered yet.
    var attempt: MasterAttempt?
    var way: MasterWay
    var membership = Membership.none
    var masterHeardNanoseconds: UInt64 = 0
    var heartbeatNanoseconds: UInt64 = 0
    var graceNanoseconds: UInt64 = 0
    /// Set while the connection is cut: when the master is given up.
    var graceEndNanoseconds: UInt64?
    var reconnectNanoseconds: UInt64?
    /// Nodes of the cluster, as the master has said.
    var clusterNodeCount = 0
    /// Who waits for the table of nodes.
    var nodesWaiters: [NodesWaiter] = []
    /// Set: the node leaves the cluster, and then does what it was told.
    var departure: Departure?
    /// The table of nodes when it was last asked for because it had changed.
    package var watchedNodes: [UInt8]?
    /// The master tells when the table changes.
    var isWatchingNodes = false
    /// Called once when the master has let this slave in.
    var onWelcome: (() -> Void)?

    package init(
        _ configuration: SlaveConfiguration, log: DaemonLog, onWelcome: @escaping () -> Void
    ) throws(SystemCallError) {
        self.configuration = configuration
        way = MasterWay(master: NodeAddress(configuration.master))
        self.onWelcome = onWelcome
        let node = configuration.node ?? Hello.noNode
        let host = try DaemonHost(
            HostConfiguration(
                listenAddress: configuration.listenAddress, socketName: configuration.socketName,
                node: node, ringEntryCount: 64,
                socketBufferByteCount: configuration.socketBufferByteCount,
                forbidsRing: configuration.forbidsRing,
                warnsOfInsecurity: configuration.warnsOfInsecurity),
            store: ImageStore(state: SlaveState(node: node)), log: log)
        let arena = try ImageArena(
            warmByteCount: configuration.arenaByteCount,
            warmSlotCount: configuration.arenaSlotCount,
            limitByteCount: configuration.imageByteLimit)
        let restorer = try Restorer.makeFile()
        let children = OwnedDescriptor(
            adopting: Int32(try check("signalfd", bp_child_descriptor())))
        let machine = Hello.Machine.local
        let nullNumber = unsafe "/dev/null".withCString { unsafe bp_open_read_write($0) }
        if let root = configuration.rootDirectory {
            try check("chroot to \(root)", unsafe root.withCString { unsafe bp_change_root($0) })
        }
        self.host = host
        self.children = children
        self.arena = arena
        self.restorer = restorer
        self.machine = machine
        isPrivileged = bp_effective_user() == 0
        self.nullNumber = nullNumber >= 0 ? Int32(nullNumber) : nil
    }

    // MARK: Rounds

    package mutating func willRun() {
        if let reason = arena.fallbackReason {
            host.log.daemon.notice("images are received into fresh memory each time: \(reason)")
        }
        beginNamespace()
        pollStops()
        connect(by: way)
    }

    package mutating func roundIsOver() {}

    package mutating func didRun() {
        endAllRanks()
        endAdopted()
    }

    /// A slave reads its configuration when it starts: who ends the terminal ends the slave.
    package mutating func reload() {
        host.log.daemon.info("ending: signal 1")
        host.exitCode = 0
    }

    package var deadlineNanoseconds: UInt64 {
        var earliest = host.store.state.deadlineNanoseconds ?? .max
        if isWelcome { earliest = min(earliest, masterHeardNanoseconds + silenceLimit) }
        if let departure { earliest = min(earliest, departure.deadlineNanoseconds) }
        if let graceEndNanoseconds { earliest = min(earliest, graceEndNanoseconds) }
        if let attempt { earliest = min(earliest, attempt.deadlineNanoseconds) }
        if let former { earliest = min(earliest, former.deadlineNanoseconds) }
        if let reconnectNanoseconds { earliest = min(earliest, reconnectNanoseconds) }
        if let first = setUps.first { earliest = min(earliest, first.nanoseconds) }
        if let first = waits.first { earliest = min(earliest, first.nanoseconds) }
        for arrival in arrivals.values where !arrival.isGoing {
            earliest = min(earliest, arrival.deadlineNanoseconds)
        }
        if let first = partings.first { earliest = min(earliest, first.deadlineNanoseconds) }
        if let end = arena.deadlineNanoseconds { earliest = min(earliest, end) }
        return earliest
    }

    /// The master pings twice in a heartbeat; one and a half without a word mean that it is gone.
    private var silenceLimit: UInt64 { heartbeatNanoseconds + heartbeatNanoseconds / 2 }

    package mutating func tick(now: UInt64) {
        host.links.relaxLowWater()
        host.store.state.tick(now: now, effects: &host.effects)
        endOverdueSetUps(now: now)
        endOverdueWaits(now: now)
        endOverdueArrivals(now: now)
        endOverduePartings(now: now)
        arena.dropKept(now: now)
        if let departure, now >= departure.deadlineNanoseconds {
            loseMaster("it has not ended the link")
        }
        if isWelcome, now >= masterHeardNanoseconds + silenceLimit {
            masterIsCut("no word for \((now - masterHeardNanoseconds) / 1_000_000) ms")
        }
        if let attempt, now >= attempt.deadlineNanoseconds {
            host.close(attempt.link)
            attemptFailed(FailureCode.timedOut, "the master at \(attempt.way) does not answer")
        }
        if let former, now >= former.deadlineNanoseconds { forgetFormer() }
        if let end = graceEndNanoseconds, now >= end { loseMaster("it cannot be reached") }
        if let time = reconnectNanoseconds, now >= time {
            reconnectNanoseconds = nil
            connect(by: way)
        }
    }

    package mutating func handle(_ completion: Completion) {
        switch completion.tag.kind {
        case OperationKind.status: statusIsReady(completion.tag)
        case OperationKind.childExit: childEnded(completion.tag)
        case OperationKind.standardOutput: outputIsReady(completion.tag, stream: 1)
        case OperationKind.standardError: outputIsReady(completion.tag, stream: 2)
        case OperationKind.input: inputIsReady(completion.tag)
        case OperationKind.namespaceEnd: namespaceHasEnded()
        case OperationKind.childNews: childNewsIsThere()
        default: preconditionFailure("unknown operation kind \(completion.tag.kind)")
        }
    }
}

/// Who waits for the table of nodes.
enum NodesWaiter {
    /// With its number for the request.
    case program(ClientID, request: UInt32)
    /// Every program that watches the table.
    case watchers
}
