/// Subtree ends, parents and depths of a tree in preorder, while it is being built.
struct PreorderShape: Sendable {
    private(set) var subtreeEnds: [Int32]
    private(set) var parents: [Int32]
    private(set) var depths: [Int32]

    init(nodeCount: Int) {
        subtreeEnds = [Int32](repeating: 0, count: nodeCount)
        parents = subtreeEnds
        depths = subtreeEnds
    }

    init(subtreeEnds: [Int32], parents: [Int32], depths: [Int32]) {
        self.subtreeEnds = subtreeEnds
        self.parents = parents
        self.depths = depths
    }

    private var nodeCount: Int { subtreeEnds.count }

    /// The complete tree, in one pass over the positions: when a member is reached its parent has
    /// already said how large its subtree is, so no recursion is needed, not even for a chain.
    mutating func fillComplete(fanOut: Int) {
        guard nodeCount > 0 else { return }
        let fanOut = min(fanOut, nodeCount)
        let capacities = Self.capacities(upTo: nodeCount + 1, fanOut: fanOut)
        // Height of each member's subtree; kept so that capacities are looked up, not searched.
        var heights = [Int32](repeating: 0, count: nodeCount)
        place(
            below: RelayPlan.root, size: nodeCount + 1, height: capacities.count - 1, depth: 0,
            fanOut: fanOut, capacities: capacities, heights: &heights)
        for position in 0..<nodeCount {
            place(
                below: position, size: Int(subtreeEnds[position]) - position,
                height: Int(heights[position]), depth: depths[position], fanOut: fanOut,
                capacities: capacities, heights: &heights)
        }
    }

    /// Sets the children of one member whose subtree, itself included, has `size` members.
    private mutating func place(
        below parent: Int, size: Int, height: Int, depth: Int32, fanOut: Int, capacities: [Int],
        heights: inout [Int32]
    ) {
        guard size > 1 else { return }
        // Every child holds at least a full tree two levels lower; what is left over fills the
        // children up to a full tree one level lower, one after the other.
        let full = capacities[height - 1]
        let least = height >= 2 ? capacities[height - 2] : 0
        var leftOver = size - 1 - fanOut * least
        var start = parent + 1
        for _ in 0..<fanOut {
            let extra = min(leftOver, full - least)
            leftOver -= extra
            let childSize = least + extra
            guard childSize > 0 else { break }
            subtreeEnds[start] = Int32(start + childSize)
            parents[start] = Int32(parent)
            depths[start] = depth + 1
            heights[start] = Int32(extra > 0 ? height - 1 : height - 2)
            start += childSize
        }
    }

    /// Sizes of the full trees of height 0, 1, …, up to the first that holds `size` members.
    private static func capacities(upTo size: Int, fanOut: Int) -> [Int] {
        var capacities = [1]
        while capacities.last! < size {
            let (product, overflow) = capacities.last!.multipliedReportingOverflow(by: fanOut)
            capacities.append(overflow ? Int.max : product + 1)
        }
        return capacities
    }

    /// The tree that child counts in preorder describe, the root's own count first.
    mutating func fill(childCounts: [Int]) throws(RelayPlanError) {
        precondition(childCounts.count == nodeCount + 1)
        // Members whose children have not all begun yet, outermost first.
        var open: [(position: Int, remaining: Int)] = []
        for (index, childCount) in childCounts.enumerated() {
            let position = index - 1
            guard childCount >= 0, childCount <= nodeCount - index else {
                throw .tooManyChildren(position: position, childCount: childCount)
            }
            if position >= 0 {
                while let last = open.last, last.remaining == 0 {
                    close(last.position, at: position)
                    open.removeLast()
                }
                guard let parent = open.last else { throw .unconnected(position: position) }
                open[open.count - 1].remaining -= 1
                parents[position] = Int32(parent.position)
                depths[position] =
                    parent.position == RelayPlan.root ? 1 : depths[parent.position] + 1
            }
            open.append((position, childCount))
        }
        while let last = open.popLast() {
            guard last.remaining == 0 else {
                throw .missingChildren(position: last.position, childCount: last.remaining)
            }
            close(last.position, at: nodeCount)
        }
    }

    private mutating func close(_ position: Int, at end: Int) {
        if position >= 0 { subtreeEnds[position] = Int32(end) }
    }
}
