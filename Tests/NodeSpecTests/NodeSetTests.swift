import NodeSpec
import Testing

@Suite struct NodeSetTests {
    @Test func joinsWhatTouches() {
        let set: NodeSet = [7, 1, 0, 3, 2, 7]
        #expect(set.description == "0-3,7")
        #expect(set.count == 5)
        #expect(set.lowest == 0)
        #expect(set.highest == 7)
        #expect(Array(set) == [0, 1, 2, 3, 7])
    }

    @Test func insertsAtEveryPlace() {
        var set = NodeSet(4...6)
        set.insert(7)
        set.insert(3)
        #expect(set.ranges == [3...7])
        set.insert(9)
        #expect(set.ranges == [3...7, 9...9])
        set.insert(8)
        #expect(set.ranges == [3...9])
        set.insert(0)
        #expect(set.description == "0,3-9")
        set.remove(5)
        #expect(set.description == "0,3-4,6-9")
        set.remove(5)
        #expect(set.count == 7)
    }

    @Test func namesTheFrontEnd() {
        #expect(NodeSet([-1]).description == "master")
        #expect(NodeSet([-1, 0, 1]).description == "master,0-1")
        #expect(NodeSet().description == "")
    }

    @Test func holdsTheWholeRangeInOneEntry() {
        let all = NodeSet(0...NodeNumber.highest)
        #expect(all.ranges.count == 1)
        #expect(all.count == 2_147_483_648)
        #expect(all.contains(.highest))
        #expect(!all.contains(.master))
        let holed = all.subtracting([5])
        #expect(holed.description == "0-4,6-2147483647")
        #expect(holed.union([5]) == all)
        var last = NodeSet(NodeNumber.highest...NodeNumber.highest).makeIterator()
        #expect(last.next() == .highest)
        #expect(last.next() == nil)
        var inserted = NodeSet(0...5)
        inserted.insert(.highest)
        inserted.insert(0)
        #expect(inserted.count == 7)
    }

    /// Against the standard library's set, with numbers drawn from a seed.
    @Test(arguments: UInt64(1)...40)
    func agreesWithAPlainSet(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        func draw() -> (NodeSet, Set<NodeNumber>) {
            let numbers = (0..<random.next(below: 60)).map { _ in
                NodeNumber(Int32(random.next(below: 80)) - 1)
            }
            return (NodeSet(numbers), Set(numbers))
        }
        for _ in 0..<50 {
            let (left, leftPlain) = draw()
            let (right, rightPlain) = draw()
            #expect(Array(left.union(right)) == leftPlain.union(rightPlain).sorted())
            #expect(Array(left.subtracting(right)) == leftPlain.subtracting(rightPlain).sorted())
            #expect(
                Array(left.intersection(right)) == leftPlain.intersection(rightPlain).sorted())
            #expect(left.count == leftPlain.count)
            for raw in Int32(-1)..<81 {
                #expect(left.contains(NodeNumber(raw)) == leftPlain.contains(NodeNumber(raw)))
            }
            var grown = NodeSet()
            for number in leftPlain { grown.insert(number) }
            #expect(grown == left)
            for (range, after) in zip(left.ranges, left.ranges.dropFirst()) {
                #expect(range.upperBound.rawValue + 1 < after.lowerBound.rawValue)
            }
        }
    }
}

/// A small generator whose runs repeat: splitmix64.
struct SeededRandom {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next(below bound: Int) -> Int {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return Int((mixed ^ (mixed >> 31)) % UInt64(bound))
    }
}
