import ArgumentParser
import BProc
import CommandSupport
import Glibc

/// Shows the nodes and their state.
struct NodeStatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bpstat", abstract: "Show the nodes of the cluster and their state.",
        version: "bpstat (bproc) 0.1")

    @Flag(name: .shortAndLong, help: "Nodes that are alike share a line (the default).")
    var compact = false
    @Flag(name: .shortAndLong, help: "One line for each node, with its address.")
    var long = false
    @Argument(help: "Nodes: 0-15, up, notdown, all. Default: all.")
    var nodes: [String] = []

    func validate() throws {
        if compact && long { throw ValidationError("-c and -l exclude each other.") }
    }

    func run() throws {
        do throws(CommandError) {
            let shown = try chosenNodes()
            let table = NodeTable()
            let columns = StandardOutput.columns(of: STDOUT_FILENO) ?? 80
            StandardOutput.write(long ? table.long(shown) : table.compact(shown, columns: columns))
        } catch {
            StandardOutput.report(error.sentence, command: "bpstat")
            throw ArgumentParser.ExitCode(error.exitStatus)
        }
    }

    private func chosenNodes() throws(CommandError) -> [Cluster.Node] {
        let known: [Cluster.Node]
        do throws(BProcError) {
            known = try Cluster().nodes()
        } catch {
            throw CommandError(error.description)
        }
        guard !nodes.isEmpty else { return known }
        let argument = try NodeArgument(nodes.joined(separator: ","), known: known)
        for missing in argument.missing {
            StandardOutput.report("node \(missing): Invalid node number", command: "bpstat")
        }
        let wanted = Set(argument.nodes)
        return known.filter { wanted.contains($0.number) }
    }
}
