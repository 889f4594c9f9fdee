public import NodeSpec

/// What becomes of a tree when some of its nodes are dead: whom an orphan tries, and whom a living
/// member adopts.
///
/// Both sides come to the same answer from the same plan and the same dead: an orphan belongs to
/// its nearest living ancestor, at last to the root.
public struct Healing: Equatable, Sendable {
    public let plan: RelayPlan
    private let isDead: [Bool]
    /// For each position its nearest living ancestor.
    private let livingParents: [Int32]

    public init(plan: RelayPlan, dead: NodeSet) {
        self.plan = plan
        let isDead = plan.nodes.map { dead.contains($0) }
        var livingParents = [Int32](repeating: Int32(RelayPlan.root), count: plan.nodeCount)
        // Parents come before children, so theirs is known already.
        for position in 0..<plan.nodeCount {
            let parent = plan.parent(of: position)
            guard parent != RelayPlan.root else { continue }
            livingParents[position] = isDead[parent] ? livingParents[parent] : Int32(parent)
        }
        self.isDead = isDead
        self.livingParents = livingParents
    }

    public func isDead(_ position: Int) -> Bool { position != RelayPlan.root && isDead[position] }

    /// The nearest living member above a position, `RelayPlan.root` when there is no other.
    public func livingParent(of position: Int) -> Int { Int(livingParents[position]) }

    /// Whom the node at a position tries, in this order: its living ancestors, the root last.
    public func ancestors(of position: Int) -> [Int] {
        var ancestors: [Int] = []
        var current = position
        while current != RelayPlan.root {
            current = livingParent(of: current)
            ancestors.append(current)
        }
        return ancestors
    }

    /// Living nodes whose parent is dead, in preorder.
    public var orphans: [Int] {
        (0..<plan.nodeCount).filter { !isDead($0) && isDead(plan.parent(of: $0)) }
    }

    /// Whom a living member serves now, in the order of the plan: its living children, and in a
    /// dead child's place that child's living children, and so on down.
    public func children(of position: Int) -> [Int] {
        var children: [Int] = []
        var current = position + 1
        let end = plan.subtreeEnd(of: position)
        while current < end {
            if isDead[current] {
                // The next position in preorder is the dead node's first child, or what follows it.
                current += 1
            } else {
                children.append(current)
                current = plan.subtreeEnd(of: current)
            }
        }
        return children
    }
}
