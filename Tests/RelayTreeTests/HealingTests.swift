import NodeSpec
import RelayTree
import Testing

@Suite struct HealingTests {
    @Test func climbsPastTheDead() {
        // 0 ─ 1 ─ 2 ─ 3 below the root.
        let healing = Healing(plan: RelayPlan(nodeCount: 4, fanOut: 1), dead: [1, 2])
        #expect(healing.ancestors(of: 3) == [0, RelayPlan.root])
        #expect(healing.ancestors(of: 0) == [RelayPlan.root])
        #expect(healing.orphans == [3])
        #expect(healing.children(of: 0) == [3])
        #expect(healing.children(of: RelayPlan.root) == [0])
    }

    @Test func endsWithTheRootWhenAllElseIsDead() {
        let plan = RelayPlan(nodes: [10, 20, 30, 40, 50, 60], fanOut: 2)
        let healing = Healing(plan: plan, dead: [10, 40])
        #expect(healing.children(of: RelayPlan.root) == [1, 2, 4, 5])
        #expect(healing.orphans == [1, 2, 4, 5])
        #expect(healing.livingParent(of: 5) == RelayPlan.root)
    }

    /// For any dead: both directions agree, every living node is served once, no path has a dead.
    @Test(arguments: [1, 2, 3, 8, 32])
    func agreesFromAboveAndBelow(fanOut: Int) {
        for step in [2, 3, 5, 7, 1000] {
            let plan = RelayPlan(nodeCount: 1023, fanOut: fanOut)
            let dead = NodeSet(
                (0..<1023).filter { $0 % step == step - 2 }.map { NodeNumber(Int32($0)) })
            let healing = Healing(plan: plan, dead: dead)
            var served = [Int](repeating: 0, count: plan.nodeCount)
            for member in -1..<plan.nodeCount where !healing.isDead(member) {
                for child in healing.children(of: member) {
                    served[child] += 1
                    #expect(healing.livingParent(of: child) == member)
                    #expect(plan.subtree(of: member).contains(child))
                }
            }
            for position in 0..<plan.nodeCount {
                #expect(served[position] == (healing.isDead(position) ? 0 : 1))
            }
            for position in stride(from: 0, to: plan.nodeCount, by: 31) {
                let path = healing.ancestors(of: position)
                #expect(path.last == RelayPlan.root)
                #expect(!path.contains { healing.isDead($0) })
                #expect(path == path.sorted(by: >))
            }
        }
    }

    @Test func changesNothingWithoutDeaths() {
        let plan = RelayPlan(nodeCount: 100, fanOut: 3)
        let healing = Healing(plan: plan, dead: NodeSet())
        #expect(healing.orphans.isEmpty)
        for position in -1..<100 {
            #expect(healing.children(of: position) == Array(plan.children(of: position)))
        }
    }
}
