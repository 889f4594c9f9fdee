import BProc
import CommandSupport

/// What the daemons keep, as they say it.
struct BookReport {
    private let cluster = Cluster()
    /// Empty: the master itself.
    let nodes: [String]

    func print() throws(CommandError) {
        guard !nodes.isEmpty else {
            do throws(BProcError) {
                write("master", try cluster.bookKeeping())
            } catch {
                throw CommandError(error.description)
            }
            return
        }
        let known: [Cluster.Node]
        do throws(BProcError) {
            known = try cluster.nodes()
        } catch {
            throw CommandError(error.description)
        }
        let argument = try NodeArgument(nodes.joined(separator: ","), known: known)
        var hasFailed = false
        for missing in argument.missing {
            StandardOutput.report("\(missing): Invalid node number", command: "bpctl")
            hasFailed = true
        }
        for node in argument.nodes {
            do throws(BProcError) {
                write("node \(node)", try cluster.bookKeeping(of: node))
            } catch {
                StandardOutput.report("\(node): \(error.sentence)", command: "bpctl")
                hasFailed = true
            }
        }
        guard !hasFailed else {
            throw CommandError("not every node has answered")
        }
    }

    private func write(_ name: String, _ text: String) {
        let lines = text.split(separator: "\n").map { "  \($0)\n" }
        StandardOutput.write("\(name):\n" + lines.joined())
    }
}
