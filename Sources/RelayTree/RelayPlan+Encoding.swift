public import NodeSpec

// A tree as numbers: nodes in preorder, and how many children each member has. Subtrees are runs of
// both lists, so a relay needs nothing but its own run to serve its children.
extension RelayPlan {
    /// How many children each member has, the root's own number first, then by position.
    public var childCounts: [Int] {
        var counts = [Int](repeating: 0, count: nodeCount + 1)
        for position in 0..<nodeCount { counts[parent(of: position) + 1] += 1 }
        return counts
    }

    /// The tree that these numbers describe; any shape is accepted as long as it is one tree.
    ///
    /// The fan-out is the largest number of children of any member.
    public init(nodes: [NodeNumber], childCounts: [Int]) throws(RelayPlanError) {
        guard nodes.count < Int32.max, childCounts.count == nodes.count + 1 else {
            throw .wrongCount(nodeCount: nodes.count, childCountCount: childCounts.count)
        }
        var shape = PreorderShape(nodeCount: nodes.count)
        try shape.fill(childCounts: childCounts)
        self.init(nodes: nodes, fanOut: max(1, childCounts.max() ?? 1), shape: shape)
    }

    /// What the member at a position has to serve: a tree of its own whose root it is.
    public func plan(below position: Int) -> RelayPlan {
        guard position != Self.root else { return self }
        let below = (position + 1)..<subtreeEnd(of: position)
        let offset = Int32(position + 1)
        return RelayPlan(
            nodes: Array(nodes[below]), fanOut: fanOut,
            shape: PreorderShape(
                subtreeEnds: subtreeEnds[below].map { $0 - offset },
                parents: parents[below].map { $0 - offset },
                depths: depths[below].map { $0 - depths[position] }))
    }
}
