import CSystem
import Host
import DaemonLog
import Logging
import ProcessImage
import System
import Wire

// Orders of the master to this node. What it carries out is its own configuration's to say.
extension SlaveDaemon {
    mutating func receiveOrder(_ control: NodeControl, number: UInt32) {
        var answer = NodeControlAnswer()
        do throws(NodeControlRefusal) {
            if case .reconnect(let remote, let local) = control {
                // Answered when it is known what has become of it.
                try reconnect(to: remote, from: local, order: number)
                return
            }
            try carryOut(control)
        } catch {
            host.log.node.warning("refused: \(error.sentence)")
            answer = NodeControlAnswer(errorNumber: error.errorNumber, reason: error.sentence)
        }
        sendControl(answer.frame(number: number))
    }

    private mutating func carryOut(_ control: NodeControl) throws(NodeControlRefusal) {
        guard departure == nil else {
            throw NodeControlRefusal(FailureCode.alreadyUnderWay, "it is about to leave")
        }
        switch control {
        case .changeRoot(let path): try changeRoot(path)
        case .reboot: try depart(.reboot, configuration.reboot, option: "reboot")
        case .halt: try depart(.halt, configuration.halt, option: "halt")
        case .powerOff: try depart(.powerOff, configuration.powerOff, option: "power-off")
        case .reconnect: break
        }
    }

    private mutating func reconnect(
        to remote: NodeAddress, from local: NodeAddress, order: UInt32
    ) throws(NodeControlRefusal) {
        guard departure == nil, attempt == nil else {
            throw NodeControlRefusal(FailureCode.alreadyUnderWay, "it is about to leave")
        }
        guard remote.isLoopback || configuration.mayLeaveLoopback else {
            throw NodeControlRefusal(
                FailureCode.notPermitted,
                "its slave runs without --insecure-no-authentication")
        }
        let way = MasterWay(master: remote, local: local)
        host.log.node.notice("told to reconnect to \(way)")
        connect(by: way, order: order)
    }

    private func changeRoot(_ path: String) throws(NodeControlRefusal) {
        guard configuration.allowsChangeOfRoot else {
            throw NodeControlRefusal(
                FailureCode.notPermitted, "its slave runs without --allow-chroot")
        }
        let result = unsafe path.withCString { unsafe bp_change_root($0) }
        guard result >= 0 else {
            let error = SystemCallError("chroot to \(path)", result: result)
            throw NodeControlRefusal(error.errorNumber, error.description)
        }
        host.log.node.notice("the root is now \(path)")
    }

    /// Checks everything that can be checked before the node has left the cluster.
    private mutating func depart(
        _ way: Departure.Way, _ permission: DeparturePermission, option: String
    ) throws(NodeControlRefusal) {
        switch permission {
        case .forbidden:
            throw NodeControlRefusal(
                FailureCode.notPermitted, "its slave runs without --allow-\(option)")
        case .systemCall:
            guard isPrivileged else {
                throw NodeControlRefusal(FailureCode.notPermitted, "its slave is not root")
            }
        case .command(let words):
            let result = unsafe words[0].withCString { unsafe bp_can_execute($0) }
            guard result >= 0 else {
                let error = SystemCallError(words[0], result: result)
                throw NodeControlRefusal(error.errorNumber, error.description)
            }
        }
        host.log.node.notice("told to \(way): leaving the cluster")
        departure = Departure(
            way: way, permission: permission,
            deadlineNanoseconds: Clock.monotonicNanoseconds + Departure.patienceNanoseconds)
    }

    /// Ends the machine, or puts the site's command in this program's place, if the daemon has
    /// ended for that. Comes back if it has not, or if it fails.
    package func carryOutDeparture() {
        guard let departure else { return }
        let result: Int
        switch departure.permission {
        case .forbidden: return
        case .systemCall: result = Int(bp_end_machine(departure.way.systemCall))
        case .command(let words): result = execute(words)
        }
        host.log.node.critical("\(SystemCallError("\(departure.way)", result: result))")
    }
}

/// Puts a program in the place of this one. Answers only a negated errno.
private func execute(_ words: [String]) -> Int {
    let arguments = CStringArray(words.map { Array($0.utf8) })
    return unsafe arguments.withPointers { Int(unsafe bp_execute($0)) }
}

/// The node's way out of the cluster, when the master has heard of it.
struct Departure {
    enum Way: CustomStringConvertible {
        case reboot, halt, powerOff

        var description: String {
            switch self {
            case .reboot: "reboot"
            case .halt: "halt"
            case .powerOff: "power off"
            }
        }

        var systemCall: bp_machine_end {
            switch self {
            case .reboot: BP_MACHINE_REBOOT
            case .halt: BP_MACHINE_HALT
            case .powerOff: BP_MACHINE_POWER_OFF
            }
        }
    }

    let way: Way
    let permission: DeparturePermission
    /// The master ends the link before, unless it is in trouble.
    let deadlineNanoseconds: UInt64

    static let patienceNanoseconds: UInt64 = 2_000_000_000
}

/// Why this node does not do what it was told.
struct NodeControlRefusal: Error {
    let errorNumber: Int32
    let sentence: String

    init(_ errorNumber: Int32, _ sentence: String) {
        self.errorNumber = errorNumber
        self.sentence = sentence
    }
}
