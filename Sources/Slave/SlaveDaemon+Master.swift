import DaemonLog
import Host
import Link
import Logging
import Relay
import SlaveCore
import System
import Wire

/// How a master is reached.
struct MasterWay: Equatable, CustomStringConvertible {
    var master: NodeAddress
    /// The address of this side; `.unspecified`: any.
    var local = NodeAddress.unspecified

    var description: String {
        local.family == .none ? "\(master)" : "\(master), from \(local)"
    }
}

/// A connection on which a master has not said whether it lets this slave in.
struct MasterAttempt {
    let link: LinkID
    let way: MasterWay
    /// The order that it follows, which is answered by what becomes of it.
    let order: UInt32?
    let deadlineNanoseconds: UInt64
    /// What the master was told that runs here; and what it makes of that.
    var kept: [KeptLaunch] = []
    var adoption: Adoption?
    /// What has ended since.
    var exits: [ExitRecord] = []

    static let patienceNanoseconds: UInt64 = 10_000_000_000
    /// Pause between two while the processes wait.
    static let pauseNanoseconds: UInt64 = 500_000_000
}

/// A master that was left. The connection is its to close: what has been said on it, the leave
/// included, would be lost if this side closed it while something is on its way from there.
struct FormerMaster {
    let link: LinkID
    let deadlineNanoseconds: UInt64
}

// The place with a master: how it is had, kept while connections change, and lost.
extension SlaveDaemon {
    /// The master is there, as far as is known.
    var isWelcome: Bool { control != nil && graceEndNanoseconds == nil }

    /// Begins a connection. Where this slave has a place, it is what it asks for.
    mutating func connect(by way: MasterWay, order: UInt32? = nil) {
        var hello = Hello(
            role: .slave, node: control == nil ? configuration.node ?? Hello.noNode : host.node,
            address: host.address, incarnation: host.incarnation, machine: machine,
            features: namespace == nil ? [] : .givesPids)
        if let control {
            hello.membership = membership
            hello.receivedCount = host.receivedCount(on: control)
            hello.keptCount = UInt32(
                clamping: host.store.state.keptLaunches.reduce(0) { $0 + $1.ranks.count })
        }
        attempt = MasterAttempt(
            link: host.connect(to: way.master, from: way.local, hello: hello), way: way,
            order: order,
            deadlineNanoseconds: control == nil
                ? .max : Clock.monotonicNanoseconds + MasterAttempt.patienceNanoseconds)
    }

    /// A frame on a connection that is being attempted.
    mutating func receiveAnswer(_ header: FrameHeader, body: [UInt8]) throws(WireError) {
        switch header.kind {
        case .keptRequest: tellOfKept()
        case .adoption: attempt?.adoption = try Adoption(decoding: body)
        case .welcome: welcome(try Welcome(decoding: body))
        case .refusal:
            let sentence = try Refusal(decoding: body).sentence
            host.log.link.error("the master refuses this slave: \(sentence)")
            if let attempt { host.close(attempt.link) }
            attemptFailed(FailureCode.notPermitted, sentence, isRefused: true)
        default: throw .unknownKind(header.kind.rawValue)
        }
    }

    /// - Parameter isRefused: the master is there, and does not let this slave in.
    mutating func attemptFailed(
        _ errorNumber: Int32, _ reason: String, isRefused: Bool = false
    ) {
        let order = attempt?.order
        attempt = nil
        if let order {
            host.log.link.warning("cannot reconnect: \(reason)")
            sendControl(
                NodeControlAnswer(errorNumber: errorNumber, reason: reason).frame(number: order))
            // The old connection may have ended meanwhile.
            guard graceEndNanoseconds != nil else { return }
        } else if control == nil || isRefused {
            loseMaster(reason)
            return
        }
        reconnectNanoseconds = Clock.monotonicNanoseconds + MasterAttempt.pauseNanoseconds
    }

    // MARK: Welcome

    private mutating func welcome(_ welcome: Welcome) {
        guard let attempt else { return }
        self.attempt = nil
        if let resumption = welcome.resumption, let control {
            guard host.resume(control, by: attempt.link, after: resumption.receivedCount),
                host.expect(first: resumption.firstFrame, on: control)
            else {
                host.close(attempt.link)
                loseMaster("what was said meanwhile is not known any more")
                return
            }
            host.log.link.notice("node \(host.node) is with its master again: \(attempt.way)")
        } else {
            let moves: [LaunchMove]
            do throws(AdoptionFailure) {
                moves = try self.moves(of: attempt)
            } catch {
                host.log.link.error("the master \(attempt.way): \(error.sentence)")
                host.close(attempt.link)
                self.attempt = attempt
                attemptFailed(FailureCode.badMessage, error.sentence)
                return
            }
            let exits = leaveMaster(for: attempt, taking: moves)
            control = attempt.link
            host.beginSession(attempt.link)
            host.node = welcome.node
            if host.store.state.node != welcome.node {
                host.store.state = SlaveState(node: welcome.node)
            }
            host.log.link.info("node \(welcome.node) of the master \(attempt.way)")
            if !exits.isEmpty { sendControl(ExitRecord.frame(exits)) }
        }
        way = attempt.way
        membership = welcome.membership
        masterHeardNanoseconds = Clock.monotonicNanoseconds
        heartbeatNanoseconds = UInt64(welcome.heartbeatMilliseconds) * 1_000_000
        graceNanoseconds = UInt64(welcome.graceMilliseconds) * 1_000_000
        graceEndNanoseconds = nil
        clusterNodeCount = Int(welcome.nodeCount)
        if welcome.resumption != nil, let order = attempt.order {
            sendControl(NodeControlAnswer().frame(number: order))
        }
        onWelcome?()
        onWelcome = nil
    }

    /// Another master has let this slave in: it tells the one that it had.
    /// - Returns: what has ended since the other was told of it.
    private mutating func leaveMaster(
        for attempt: MasterAttempt, taking moves: [LaunchMove]
    ) -> [ExitRecord] {
        guard let old = control else { return [] }
        if let order = attempt.order { sendControl(NodeControlAnswer().frame(number: order)) }
        let count = moves.reduce(0) { $0 + $1.ranks.count }
        let reason = "the node has gone to another master, \(attempt.way.master)"
        sendControl(
            count > 0
                ? FrameHeader.frame(FrameHeader(.leave), body: Array(reason.utf8))
                : Refusal(reason).frame)
        forgetFormer()
        former = FormerMaster(
            link: old,
            deadlineNanoseconds: Clock.monotonicNanoseconds + MasterAttempt.patienceNanoseconds)
        // Nobody is there to hear it.
        if graceEndNanoseconds != nil { forgetFormer() }
        host.log.link.notice("the master \(way) is left, with \(count) processes")
        let exits = take(moves, exits: attempt.exits)
        endMembership()
        return exits
    }

    mutating func forgetFormer() {
        if let former { host.close(former.link) }
        former = nil
    }

    // MARK: Ends

    /// The connection to the master has ended, or its end is silent.
    mutating func masterIsCut(_ reason: String) {
        guard let control, departure == nil, graceNanoseconds > 0 || attempt != nil else {
            loseMaster(reason)
            return
        }
        host.cut(control)
        let now = Clock.monotonicNanoseconds
        // Without a grace the attempt that is under way decides.
        graceEndNanoseconds =
            graceNanoseconds > 0 ? now + graceNanoseconds : attempt?.deadlineNanoseconds
        host.log.link.warning("the connection to the master \(way) is cut: \(reason)")
        if attempt == nil { connect(by: way) }
    }

    private mutating func endMembership() {
        control = nil
        membership = .none
        graceEndNanoseconds = nil
        endConversations()
        isWatchingNodes = false
        watchedNodes = nil
    }

    mutating func loseMaster(_ reason: String) {
        if let control { host.close(control) }
        if let attempt { host.close(attempt.link) }
        attempt = nil
        endMembership()
        host.store.state.controlIsLost(effects: &host.effects)
        guard departure == nil else {
            host.exitCode = 0
            return
        }
        guard let seconds = configuration.reconnectSeconds else {
            host.log.link.error("the master \(way) is lost: \(reason)")
            host.exitCode = 1
            return
        }
        host.log.link.warning(
            "the master \(way) is lost: \(reason); trying again in \(seconds) s")
        reconnectNanoseconds = Clock.monotonicNanoseconds + UInt64(seconds) * 1_000_000_000
    }
}
