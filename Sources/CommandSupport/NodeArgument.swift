public import BProc
import NodeSpec

/// The nodes that a command line means.
public struct NodeArgument: Equatable, Sendable {
    /// In the order they were asked for; a node asked for twice stands here twice. -1: the front
    /// end.
    public let nodes: [Int32]
    /// Numbers that were written and do not exist, as ranges: "7", "64-10063".
    public let missing: [String]

    /// - Parameters:
    ///   - text: a node specification, or a node's address.
    ///   - groups: asked for the cluster's groups, if the text names one.
    /// - Throws: what is wrong with the text, with a caret under the place.
    public init(
        _ text: String, known: [Cluster.Node],
        groups: () throws(BProcError) -> String = { () throws(BProcError) in
            try Cluster().nodeGroups()
        }
    ) throws(CommandError) {
        let resolution: NodeResolution
        do throws(NodeSpecificationError) {
            let named = text.contains("@") ? try Self.groups(from: groups) : NodeGroups()
            resolution = try NodeSpecification(parsing: text, groups: named).resolve(
                against: known.map { NodeInfo(number: NodeNumber($0.number), state: $0.state) })
        } catch {
            guard let node = known.first(where: { $0.address == text }) else {
                throw CommandError(error.rendering)
            }
            nodes = [node.number]
            missing = []
            return
        }
        nodes = resolution.nodes.map(\.rawValue)
        missing = resolution.missing.ranges.map { range in
            range.lowerBound == range.upperBound
                ? "\(range.lowerBound)" : "\(range.lowerBound)-\(range.upperBound)"
        }
    }

    /// A cluster that cannot be asked has no groups: the specification's error then names the one
    /// that was meant.
    private static func groups(
        from source: () throws(BProcError) -> String
    ) throws(NodeSpecificationError) -> NodeGroups {
        guard let text = try? source() else { return NodeGroups() }
        return try NodeGroups(parsing: text)
    }

    /// Every node in a state (or, inverted, in any other), in the table's order.
    public init(inState state: String, inverted: Bool = false, known: [Cluster.Node]) {
        nodes = known.filter { ($0.state == state) != inverted }.map(\.number)
        missing = []
    }
}
