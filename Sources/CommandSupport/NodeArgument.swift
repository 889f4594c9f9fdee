public import BProc
import NodeSpec

/// The nodes that a command line means.
public struct NodeArgument: Equatable, Sendable {
    /// In the order they were asked for; a node asked for twice stands here twice. -1: the front
    /// end.
    public let nodes: [Int32]
    /// Numbers that were written and do not exist, as ranges: "7", "64-10063".
    public let missing: [String]

    /// - Parameter text: a node specification, or a node's address.
    /// - Throws: what is wrong with the text, with a caret under the place.
    public init(_ text: String, known: [Cluster.Node]) throws(CommandError) {
        let resolution: NodeResolution
        do throws(NodeSpecificationError) {
            resolution = try NodeSpecification(parsing: text).resolve(
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

    /// Every node in a state (or, inverted, in any other), in the table's order.
    public init(inState state: String, inverted: Bool = false, known: [Cluster.Node]) {
        nodes = known.filter { ($0.state == state) != inverted }.map(\.number)
        missing = []
    }
}
