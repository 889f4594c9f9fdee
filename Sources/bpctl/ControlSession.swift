import BProc
import CommandSupport

/// Carries the steps out, on the nodes that are chosen at the time.
struct ControlSession {
    private let cluster = Cluster()
    private var chosen: [Int32] = []
    private(set) var hasFailed = false

    /// - Throws: what makes the rest impossible. What fails on a node is reported here.
    mutating func carryOut(_ step: ControlStep) throws(CommandError) {
        switch step {
        case .nodes(let text): try choose(text)
        case .frontEnd: chosen = [-1]
        default:
            for node in chosen {
                do throws(BProcError) {
                    try carryOut(step, on: node)
                } catch {
                    // Where nobody answers, nobody will for the next node.
                    if error.code == .notRunning, error.errorNumber == Self.noDaemon {
                        throw CommandError(error.sentence)
                    }
                    StandardOutput.report("\(node): \(error.sentence)", command: "bpctl")
                    hasFailed = true
                }
            }
        }
    }

    /// EBUSY, which libbproc answers where no daemon runs.
    private static let noDaemon: Int32 = 16

    private mutating func choose(_ text: String) throws(CommandError) {
        let known: [Cluster.Node]
        do throws(BProcError) {
            known = try cluster.nodes()
        } catch {
            throw CommandError(error.description)
        }
        let argument = try NodeArgument(text, known: known)
        for missing in argument.missing {
            StandardOutput.report("\(missing): Invalid node number", command: "bpctl")
            hasFailed = true
        }
        chosen = argument.nodes
    }

    private func carryOut(_ step: ControlStep, on node: Int32) throws(BProcError) {
        switch step {
        case .nodes, .frontEnd: break
        case .state(let state): try cluster.setState(state, of: node)
        case .mode(let mode): try cluster.setMode(mode, of: node)
        case .user(let user): try cluster.setUser(user, of: node)
        case .group(let group): try cluster.setGroup(group, of: node)
        case .root(let path): try cluster.setRoot(path, of: node)
        case .reboot: try cluster.reboot(node)
        case .halt: try cluster.halt(node)
        case .powerOff: try cluster.powerOff(node)
        case .reconnect(let master, let own):
            try cluster.reconnect(node, to: master, from: own)
        }
    }
}
