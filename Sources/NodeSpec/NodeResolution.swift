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
        var selection = NodeSelection(table: table)
        for term in excluded { try selection.exclude(term) }
        var nodes: [NodeNumber] = []
        for term in terms { try selection.take(term, into: &nodes) }
        let existing = NodeSet(
            ranges: selection.wanted.isEmpty ? [] : table.map { $0.number...$0.number })
        let unwanted = NodeSet(
            ranges: selection.wanted.isEmpty ? [] : excluded.flatMap(\.numberRanges))
        return NodeResolution(
            nodes: nodes,
            missing: NodeSet(ranges: selection.wanted).subtracting(existing).subtracting(unwanted))
    }
}

/// Finds the nodes of terms in a table.
private struct NodeSelection {
    /// Sorted by number.
    let table: [NodeInfo]
    /// What was asked for and is not wholly there.
    var wanted: [ClosedRange<NodeNumber>] = []
    private var isExcluded: [Bool]
    private var excludesMaster = false
    /// A state that is asked for a thousand times is looked for once.
    private var inState: [NodeSpecification.Term: [Int]] = [:]
    private var takenCount = 0
    private var excludedCount = 0

    init(table: [NodeInfo]) {
        self.table = table
        isExcluded = [Bool](repeating: false, count: table.count)
    }

    mutating func exclude(_ term: NodeSpecification.Term) throws(NodeSpecificationError) {
        if term == .master { excludesMaster = true }
        let found = indices(of: term)
        try Self.count(found.count, in: &excludedCount, term)
        for index in found { isExcluded[index] = true }
    }

    mutating func take(
        _ term: NodeSpecification.Term, into nodes: inout [NodeNumber]
    ) throws(NodeSpecificationError) {
        if term == .master {
            if !excludesMaster { nodes.append(.master) }
            return
        }
        let found = indices(of: term)
        try Self.count(found.count, in: &takenCount, term)
        for index in found where !isExcluded[index] { nodes.append(table[index].number) }
        switch term {
        case .numbers(let range):
            if found.count < range.widthCount { wanted.append(range) }
        case .stepped(let range, let step):
            guard found.count < range.count(by: step) else { break }
            for number in range.numbers(by: step) { wanted.append(number...number) }
        case .numbersFrom(let first, _):
            // "From 200 on" is a wish for node 200 only where nothing lies at or above it.
            if index(of: first) == table.count { wanted.append(first...first) }
        case .master, .all, .inState, .notInState: break
        }
    }

    /// Places in the table, in its order.
    private mutating func indices(of term: NodeSpecification.Term) -> [Int] {
        switch term {
        case .numbers(let range): return Array(indices(in: range))
        case .stepped(let range, let step):
            return indices(in: range).filter { isReached($0, from: range.lowerBound, by: step) }
        case .numbersFrom(let first, let step):
            let found = index(of: first)..<table.count
            return step == 1
                ? Array(found) : found.filter { isReached($0, from: first, by: step) }
        case .master: return []
        case .all: return Array(table.indices)
        case .inState(let name), .notInState(let name):
            if let found = inState[term] { return found }
            let found = table.indices.filter {
                (table[$0].state == name) == (term == .inState(name))
            }
            inState[term] = found
            return found
        }
    }

    private func indices(in range: ClosedRange<NodeNumber>) -> Range<Int> {
        let start = index(of: range.lowerBound)
        let end =
            range.upperBound == .highest
            ? table.count : index(of: NodeNumber(range.upperBound.rawValue + 1))
        return start..<end
    }

    private func isReached(_ index: Int, from first: NodeNumber, by step: Int32) -> Bool {
        (table[index].number.rawValue - first.rawValue) % step == 0
    }

    private static func count(
        _ found: Int, in total: inout Int, _ term: NodeSpecification.Term
    ) throws(NodeSpecificationError) {
        total += found
        guard total <= NodeSpecification.nodeCountLimit else {
            throw NodeSpecificationError(
                "more than \(NodeSpecification.nodeCountLimit) nodes are named", at: 0,
                in: Array(term.description.utf8))
        }
    }

    /// The index of the first entry at or above a number.
    private func index(of number: NodeNumber) -> Int {
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

    /// How many numbers steps reach that begin at the lower bound.
    func count(by step: Int32) -> Int { (widthCount - 1) / Int(step) + 1 }

    /// Those numbers.
    func numbers(by step: Int32) -> some Sequence<NodeNumber> {
        (0..<count(by: step)).lazy.map {
            NodeNumber(Int32(Int(lowerBound.rawValue) + $0 * Int(step)))
        }
    }
}

extension NodeSpecification.Term {
    /// The numbers that are written, where they are bounded.
    fileprivate var numberRanges: [ClosedRange<NodeNumber>] {
        switch self {
        case .numbers(let range): [range]
        case .stepped(let range, let step): range.numbers(by: step).map { $0...$0 }
        case .numbersFrom(let first, 1): [first...NodeNumber.highest]
        case .all: [0...NodeNumber.highest]
        case .numbersFrom, .master, .inState, .notInState: []
        }
    }
}
