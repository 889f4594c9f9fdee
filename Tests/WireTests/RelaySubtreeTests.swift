import Testing
import Wire
import WireSamples

@Suite struct RelaySubtreeTests {
    @Test func encodedTreesAgreeWithPlainOnes() throws {
        var samples = MessageSamples(seed: 11)
        for _ in 0..<300 {
            let model = samples.tree(nodes: 1...40)
            let built = RelaySubtree(
                preorder: model.preorder, subtreeEnds: model.subtreeEnds)
            let read = try RelaySubtree(validating: built.bytes)
            #expect(read == built)
            #expect(TreeModel(read) == model)
            #expect(read.entries == model.preorder)
            #expect(read.root == model.entry)
        }
    }

    /// A child's part, cut out by its parent, is a tree of its own to the child.
    @Test func cutsAreWholeTrees() throws {
        var samples = MessageSamples(seed: 12)
        for _ in 0..<100 {
            for child in samples.subtree(nodes: 2...30).children {
                let received = try RelaySubtree(validating: child.bytes)
                #expect(received.entries == child.entries)
            }
        }
    }

    @Test func lyingLengthsAreRefused() {
        var samples = MessageSamples(seed: 13)
        for _ in 0..<100 {
            let model = samples.tree(nodes: 2...10)
            let good = RelaySubtree(preorder: model.preorder, subtreeEnds: model.subtreeEnds)
            var start = 0
            for entry in good.entries {
                let claimed = good.bytes[start..<(start + 4)].reversed().reduce(UInt32(0)) {
                    $0 << 8 | UInt32($1)
                }
                for lie in [0, 31, claimed - 1, claimed + 1, .max] {
                    var bytes = good.bytes
                    for index in 0..<4 {
                        bytes[start + index] = UInt8(truncatingIfNeeded: lie >> (8 * index))
                    }
                    #expect(throws: WireError.self) {
                        _ = try RelaySubtree(validating: bytes)
                    }
                }
                start += 32 + 8 * entry.ranks.count
            }
        }
    }

    @Test func twoRootsAreRefused() {
        var samples = MessageSamples(seed: 14)
        let bytes = samples.subtree(nodes: 1...1).bytes
        #expect(throws: WireError.self) { _ = try RelaySubtree(validating: bytes + bytes) }
        #expect(throws: WireError.self) { _ = try RelaySubtree(validating: []) }
    }

    /// One child below the other, as deep as a launch has nodes.
    @Test func deepTreesAreReadWithoutRecursion() throws {
        let address = NodeAddress(ipv4: 10, 0, 0, 1, port: 9)
        let count = 10_000
        let entries = (0..<count).map {
            RelaySubtree.Entry(node: Int32($0), address: address, ranks: [])
        }
        let tree = RelaySubtree(
            preorder: entries, subtreeEnds: Array(repeating: count, count: count))
        let read = try RelaySubtree(validating: tree.bytes)
        #expect(read.entries == entries)
        #expect(read.children.count == 1)
    }
}
