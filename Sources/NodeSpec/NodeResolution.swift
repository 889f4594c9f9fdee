/// What a specification means for the nodes there are.
public struct NodeResolution: Equatable, Sendable {
    /// The nodes in the order they were asked for; a node asked for twice stands here twice.
    public let nodes: [NodeNumber]
    /// Numbers that were written and do not exist, so that a caller can fail each by name.
    public let missing: NodeSet
}

extension NodeSpecification {
    /// Finds the nodes that are meant.
    ///
    /// The work is bounded by the terms and the nodes there are, never by the numbers written: a
    /// range over all numbers costs one step for each node that exists.
    /// - Parameter known: every node but the front end, in any order.
    /// - Throws: when more than `nodeCountLimit` nodes would have to be listed.
    public func resolve(
        against known: [NodeInfo]
    ) throws(NodeSpecificationError) -> NodeResolution {
        let table = known.filter { $0.number >= 0 }.sorted { $0.number < $1.number }
        var nodes: [NodeNumber] = []
        var wanted: [ClosedRange<NodeNumber>] = []
        // A state that is asked for a thousand times is looked for once.
        var inState: [Term: [NodeInfo]] = [:]
        for term in terms {
            switch term {
            case .numbers(let range):
                let start = Self.index(of: range.lowerBound, in: table)
                let end =
                    range.upperBound == .highest
                    ? table.count
                    : Self.index(of: NodeNumber(range.upperBound.rawValue + 1), in: table)
                try take(table[start..<end], into: &nodes)
                if end - start < range.widthCount { wanted.append(range) }
            case .numbersFrom(let first):
                let start = Self.index(of: first, in: table)
                try take(table[start...], into: &nodes)
                // "From 200 on" is a wish for node 200 only where nothing lies at or above it.
                if start == table.count { wanted.append(first...first) }
            case .master: nodes.append(.master)
            case .all: try take(table[...], into: &nodes)
            case .inState(let name), .notInState(let name):
                if inState[term] == nil {
                    inState[term] = table.filter { ($0.state == name) == (term == .inState(name)) }
                }
                try take(inState[term]![...], into: &nodes)
            }
        }
        let existing = NodeSet(ranges: wanted.isEmpty ? [] : table.map { $0.number...$0.number })
        return NodeResolution(
            nodes: nodes, missing: NodeSet(ranges: wanted).subtracting(existing))
    }

    private func take(
        _ found: ArraySlice<NodeInfo>, into nodes: inout [NodeNumber]
    ) throws(NodeSpecificationError) {
        guard nodes.count + found.count <= Self.nodeCountLimit else {
            throw NodeSpecificationError(
                "more than \(Self.nodeCountLimit) nodes are named", at: 0,
                in: Array(terms[0].description.utf8))
        }
        for info in found { nodes.append(info.number) }
    }

    /// The index of the first entry at or above a number.
    private static func index(of number: NodeNumber, in table: [NodeInfo]) -> Int {
        var low = 0
        var high = table.count
        while low < high {
            let middle = (low + high) / 2
            if table[middle].number < number { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

extension ClosedRange<NodeNumber> {
    /// How many numbers the range holds.
    var widthCount: Int { Int(upperBound.rawValue) - Int(lowerBound.rawValue) + 1 }
}
