public import NodeSpec

/// The relay tree of one launch: the root (who has the image) and the nodes below it.
///
/// A node is named by its position, 0 ..< nodeCount, in preorder: every subtree is one run of
/// positions, so a relay cuts its children's parts out of its own with two numbers each. The root
/// is not one of the nodes; its position is `RelayPlan.root`.
///
/// The shape is the complete k-ary tree: every level but the last is full and the last fills from
/// the first child on. So the depth is the least possible, the deepest subtree is the one served
/// first, and only ceil(N/k) members pass anything on, which is what counts where the processor is
/// the limit.
public struct RelayPlan: Equatable, Sendable {
    /// The position of the root.
    public static let root = -1

    /// Most children of any member; at least 1.
    public let fanOut: Int
    /// Who is at each position.
    public let nodes: [NodeNumber]
    /// One past the last position of each node's subtree.
    let subtreeEnds: [Int32]
    let parents: [Int32]
    let depths: [Int32]
    /// Levels below the root: 0 without nodes.
    public let depth: Int

    public var nodeCount: Int { nodes.count }

    /// Plans for nodes in this order: the first stands at position 0, nearest the root.
    public init(nodes: [NodeNumber], fanOut: Int) {
        precondition(fanOut >= 1, "a tree needs a fan-out of at least 1")
        precondition(nodes.count < Int32.max, "positions are 32-bit")
        var shape = PreorderShape(nodeCount: nodes.count)
        shape.fillComplete(fanOut: fanOut)
        self.init(nodes: nodes, fanOut: fanOut, shape: shape)
    }

    /// Plans for nodes 0 ..< nodeCount, for callers that keep their own list of who is where.
    public init(nodeCount: Int, fanOut: Int) {
        precondition(nodeCount >= 0 && nodeCount < Int32.max, "positions are 32-bit")
        self.init(nodes: (0..<Int32(nodeCount)).map { NodeNumber($0) }, fanOut: fanOut)
    }

    init(nodes: [NodeNumber], fanOut: Int, shape: PreorderShape) {
        self.nodes = nodes
        self.fanOut = fanOut
        subtreeEnds = shape.subtreeEnds
        parents = shape.parents
        depths = shape.depths
        depth = Int(shape.depths.max() ?? 0)
    }

    // MARK: One position

    /// The position's subtree, itself first. The root's is everybody but the root.
    public func subtree(of position: Int) -> Range<Int> {
        position == Self.root ? 0..<nodeCount : position..<subtreeEnd(of: position)
    }

    /// One past the last position of the subtree.
    public func subtreeEnd(of position: Int) -> Int {
        position == Self.root ? nodeCount : Int(subtreeEnds[position])
    }

    /// The position above, `RelayPlan.root` for the first level.
    public func parent(of position: Int) -> Int { Int(parents[position]) }

    /// Hops from the root; the root's own is 0.
    public func depth(of position: Int) -> Int {
        position == Self.root ? 0 : Int(depths[position])
    }

    /// Positions of the children in the order they are served: deepest subtree first.
    public func children(of position: Int) -> Children {
        Children(subtreeEnds: subtreeEnds, next: position + 1, end: subtreeEnd(of: position))
    }

    public func isLeaf(_ position: Int) -> Bool {
        position + 1 == subtreeEnd(of: position)
    }

    /// The children of one position.
    public struct Children: Sequence, IteratorProtocol {
        private let subtreeEnds: [Int32]
        private var upcoming: Int
        private let end: Int

        init(subtreeEnds: [Int32], next: Int, end: Int) {
            self.subtreeEnds = subtreeEnds
            upcoming = next
            self.end = end
        }

        public mutating func next() -> Int? {
            guard upcoming < end else { return nil }
            defer { upcoming = Int(subtreeEnds[upcoming]) }
            return upcoming
        }
    }

    // MARK: All of it

    /// Members with children, the root among them: ceil(nodeCount / fanOut).
    public var relayCount: Int { Self.relayCount(nodeCount: nodeCount, fanOut: fanOut) }

    /// Members that pass chunks on in a complete tree of this size, without building it.
    public static func relayCount(nodeCount: Int, fanOut: Int) -> Int {
        (nodeCount + fanOut - 1) / fanOut
    }

    /// The least D with 1 + k + … + k^D > nodeCount: the depth of the tree, without building it.
    public static func depth(nodeCount: Int, fanOut: Int) -> Int {
        guard fanOut > 1, nodeCount > 1 else { return nodeCount }
        // No level is wider than the list, so 32-bit counts keep the product within 64 bits.
        let fanOut = min(fanOut, nodeCount)
        var depth = 0
        var reached = 0
        var level = 1
        while reached < nodeCount {
            level = min(level * fanOut, nodeCount)
            reached += level
            depth += 1
        }
        return depth
    }
}
