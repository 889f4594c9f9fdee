import NodeSpec
import RelayTree
import Testing

@Suite struct RelayPlanTests {
    /// Everything a plan promises, checked from its parents alone.
    private static func faults(in plan: RelayPlan, fanOut: Int) -> [String] {
        var faults: [String] = []
        let count = plan.nodeCount
        // Least depth that holds all nodes, by counting levels.
        var depth = 0
        var capacity = 0
        var level = 1
        while capacity < count {
            level = min(level * fanOut, count)
            capacity += level
            depth += 1
        }
        if plan.depth != depth { faults.append("depth \(plan.depth), not \(depth)") }
        if RelayPlan.depth(nodeCount: count, fanOut: fanOut) != depth {
            faults.append("the formula's depth is not \(depth)")
        }
        var seen = [Bool](repeating: false, count: count)
        var relayCount = 0
        for position in -1..<count {
            var previousSize = Int.max
            var childCount = 0
            for child in plan.children(of: position) {
                if seen[child] { faults.append("\(child) has two parents") }
                seen[child] = true
                if plan.parent(of: child) != position { faults.append("\(child)'s parent") }
                if plan.depth(of: child) != plan.depth(of: position) + 1 {
                    faults.append("\(child)'s depth")
                }
                // Served first: the largest and therefore deepest.
                let size = plan.subtree(of: child).count
                if size > previousSize { faults.append("\(child) is larger than its elder") }
                previousSize = size
                childCount += 1
            }
            if childCount > 0 { relayCount += 1 }
            if childCount > fanOut { faults.append("\(position) has \(childCount) children") }
            if plan.isLeaf(position) != (childCount == 0) { faults.append("\(position): leaf") }
            // Balanced: whoever is above the last two levels has all its children.
            if position >= 0 || count > 0, plan.depth(of: position) < depth - 1,
                childCount != fanOut
            {
                faults.append("\(position) lacks children above the last level")
            }
        }
        if let lost = seen.firstIndex(of: false) { faults.append("\(lost) is in no subtree") }
        if relayCount != plan.relayCount { faults.append("\(relayCount) relays") }
        return faults
    }

    @Test(arguments: [1, 2, 3, 4, 8, 16, 32, 1022])
    func placesEveryNodeOnce(fanOut: Int) {
        // All sizes for two fan-outs and the small ones for all; the rest in steps that are prime,
        // so that every remainder comes up.
        let sizes: [Int] =
            fanOut == 2 || fanOut == 8
            ? Array(0...5000)
            : Array(0...300) + Array(stride(from: 301, through: 5000, by: 37)) + [1023, 4999, 5000]
        for size in sizes {
            let plan = RelayPlan(nodeCount: size, fanOut: fanOut)
            let faults = Self.faults(in: plan, fanOut: fanOut)
            #expect(faults.isEmpty, "\(size) nodes, fan-out \(fanOut): \(faults.prefix(3))")
            if !faults.isEmpty { return }
        }
    }

    @Test func keepsTheCallersNodesInOrder() {
        let nodes: [NodeNumber] = [9, 4, 7, 1, 0, 12]
        let plan = RelayPlan(nodes: nodes, fanOut: 2)
        #expect(plan.nodes == nodes)
        #expect(Array(plan.children(of: RelayPlan.root)) == [0, 3])
        #expect(plan.subtree(of: 0) == 0..<3)
        #expect(Array(plan.children(of: 3)) == [4, 5])
        #expect(plan.subtree(of: RelayPlan.root) == 0..<6)
    }

    @Test func makesAChainWithoutRecursion() {
        let plan = RelayPlan(nodeCount: 200_000, fanOut: 1)
        #expect(plan.depth == 200_000)
        #expect(plan.parent(of: 199_999) == 199_998)
        let healing = Healing(plan: plan, dead: NodeSet(0...199_998))
        #expect(healing.children(of: RelayPlan.root) == [199_999])
        #expect(healing.ancestors(of: 199_999) == [RelayPlan.root])
    }

    @Test func takesAnyFanOut() {
        #expect(RelayPlan(nodeCount: 5, fanOut: Int.max).depth == 1)
        #expect(RelayPlan.depth(nodeCount: 5, fanOut: Int.max) == 1)
        #expect(RelayPlan.depth(nodeCount: 2_000_000_000, fanOut: 2) == 30)
        #expect(RelayPlan(nodeCount: 0, fanOut: 3).depth == 0)
    }

    // MARK: Child counts

    @Test(arguments: [1, 2, 3, 7, 32])
    func readsBackItsChildCounts(fanOut: Int) throws {
        for size in [1, 2, 3, 10, 100, 1023] {
            let plan = RelayPlan(nodeCount: size, fanOut: fanOut)
            let counts = plan.childCounts
            #expect(counts.reduce(0, +) == size)
            let read = try RelayPlan(nodes: plan.nodes, childCounts: counts)
            #expect(read.childCounts == counts)
            for position in -1..<size {
                #expect(read.subtree(of: position) == plan.subtree(of: position))
                #expect(read.depth(of: position) == plan.depth(of: position))
            }
            for position in 0..<size {
                #expect(read.parent(of: position) == plan.parent(of: position))
            }
        }
    }

    /// Every relay splits only what it was given, and all nodes are reached once, in preorder.
    @Test(arguments: [1, 2, 5, 40])
    func splitsIntoSubtreesThatStandAlone(fanOut: Int) {
        let plan = RelayPlan(nodes: (0..<300).map { NodeNumber($0 * 3) }, fanOut: fanOut)
        var reached: [NodeNumber] = []
        var waiting = [plan]
        while let current = waiting.popLast() {
            for child in current.children(of: RelayPlan.root) {
                reached.append(current.nodes[child])
            }
            for child in current.children(of: RelayPlan.root) {
                let below = current.plan(below: child)
                #expect(below.nodeCount == current.subtree(of: child).count - 1)
                #expect(
                    below.childCounts
                        == current.childCounts[below.countRange(from: child)].map { $0 })
                waiting.append(below)
            }
        }
        #expect(reached.sorted() == plan.nodes)
    }

    @Test(
        arguments: [
            ([], .wrongCount(nodeCount: 3, childCountCount: 0)),
            ([3, 0, 0], .wrongCount(nodeCount: 3, childCountCount: 3)),
            ([4, 0, 0, 0], .tooManyChildren(position: -1, childCount: 4)),
            ([-1, 0, 0, 0], .tooManyChildren(position: -1, childCount: -1)),
            ([3, 0, 0, 1], .tooManyChildren(position: 2, childCount: 1)),
            ([1, Int.max, 0, 0], .tooManyChildren(position: 0, childCount: Int.max)),
            ([2, 0, 0, 0], .unconnected(position: 2)),
            ([0, 1, 1, 0], .unconnected(position: 0)),
            ([3, 2, 0, 0], .missingChildren(position: -1, childCount: 2)),
        ] as [([Int], RelayPlanError)])
    func refusesWhatIsNoTree(counts: [Int], expected: RelayPlanError) {
        #expect(throws: expected) { try RelayPlan(nodes: [0, 1, 2], childCounts: counts) }
        #expect(!expected.description.isEmpty)
    }
}

extension RelayPlan {
    /// Where the child counts of this plan, cut out below `position`, stand in the larger one.
    func countRange(from position: Int) -> Range<Int> {
        (position + 1)..<(position + 2 + nodeCount)
    }
}
