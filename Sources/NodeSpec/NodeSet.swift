/// A set of node numbers, kept as sorted ranges: its size in memory is the number of its gaps, so
/// "0 to 2 147 483 647" costs as much as one node.
public struct NodeSet: Hashable, Sendable {
    /// Sorted, disjoint, and never touching: 0...3 and 4...5 are always one range.
    public private(set) var ranges: [ClosedRange<NodeNumber>]

    public init() { ranges = [] }

    public init(_ range: ClosedRange<NodeNumber>) { ranges = [range] }

    /// Numbers in any order; repeated ones count once.
    public init(_ numbers: some Sequence<NodeNumber>) {
        self.init(ranges: numbers.map { $0...$0 })
    }

    /// Ranges in any order; they may overlap.
    public init(ranges unordered: [ClosedRange<NodeNumber>]) {
        ranges = []
        for range in unordered.sorted(by: { $0.lowerBound < $1.lowerBound }) { append(range) }
    }

    /// Adds a range whose lower bound is at or above that of every range already here.
    private mutating func append(_ range: ClosedRange<NodeNumber>) {
        guard let last = ranges.last,
            Int(range.lowerBound.rawValue) <= Int(last.upperBound.rawValue) + 1
        else {
            ranges.append(range)
            return
        }
        let upper = Swift.max(last.upperBound, range.upperBound)
        ranges[ranges.count - 1] = last.lowerBound...upper
    }

    public var isEmpty: Bool { ranges.isEmpty }

    /// How many numbers are in the set.
    public var count: Int {
        ranges.reduce(0) {
            $0 + Int($1.upperBound.rawValue) - Int($1.lowerBound.rawValue) + 1
        }
    }

    public var lowest: NodeNumber? { ranges.first?.lowerBound }
    public var highest: NodeNumber? { ranges.last?.upperBound }

    /// A binary search over the ranges.
    public func contains(_ number: NodeNumber) -> Bool {
        let index = indexOfFirstRange(endingAtOrAbove: number)
        return index < ranges.count && ranges[index].lowerBound <= number
    }

    private func indexOfFirstRange(endingAtOrAbove number: NodeNumber) -> Int {
        var low = 0
        var high = ranges.count
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].upperBound < number { low = middle + 1 } else { high = middle }
        }
        return low
    }

    public mutating func insert(_ number: NodeNumber) {
        guard !contains(number) else { return }
        // Only neighbours that touch the number can change, so nothing else is copied.
        let index = indexOfFirstRange(endingAtOrAbove: number)
        let touchesLeft =
            index > 0 && ranges[index - 1].upperBound.rawValue == number.rawValue - 1
        let touchesRight =
            index < ranges.count && Int(ranges[index].lowerBound.rawValue) - 1 == number.rawValue
        switch (touchesLeft, touchesRight) {
        case (true, true):
            ranges[index - 1] = ranges[index - 1].lowerBound...ranges[index].upperBound
            ranges.remove(at: index)
        case (true, false): ranges[index - 1] = ranges[index - 1].lowerBound...number
        case (false, true): ranges[index] = number...ranges[index].upperBound
        case (false, false): ranges.insert(number...number, at: index)
        }
    }

    public mutating func remove(_ number: NodeNumber) {
        subtract(NodeSet(number...number))
    }

    public func union(_ other: NodeSet) -> NodeSet {
        NodeSet(ranges: ranges + other.ranges)
    }

    public mutating func formUnion(_ other: NodeSet) { self = union(other) }

    public func subtracting(_ other: NodeSet) -> NodeSet {
        var result = NodeSet()
        var otherIndex = 0
        for range in ranges {
            var lower = Int(range.lowerBound.rawValue)
            let upper = Int(range.upperBound.rawValue)
            while otherIndex < other.ranges.count,
                Int(other.ranges[otherIndex].upperBound.rawValue) < lower
            { otherIndex += 1 }
            var cutIndex = otherIndex
            while lower <= upper, cutIndex < other.ranges.count,
                Int(other.ranges[cutIndex].lowerBound.rawValue) <= upper
            {
                let cut = other.ranges[cutIndex]
                if lower < Int(cut.lowerBound.rawValue) {
                    result.append(
                        NodeNumber(Int32(lower))...NodeNumber(cut.lowerBound.rawValue - 1))
                }
                lower = Int(cut.upperBound.rawValue) + 1
                cutIndex += 1
            }
            if lower <= upper { result.append(NodeNumber(Int32(lower))...range.upperBound) }
        }
        return result
    }

    public mutating func subtract(_ other: NodeSet) { self = subtracting(other) }

    public func intersection(_ other: NodeSet) -> NodeSet {
        var result = NodeSet()
        var left = 0
        var right = 0
        while left < ranges.count, right < other.ranges.count {
            let lower = Swift.max(ranges[left].lowerBound, other.ranges[right].lowerBound)
            let upper = Swift.min(ranges[left].upperBound, other.ranges[right].upperBound)
            if lower <= upper { result.append(lower...upper) }
            if ranges[left].upperBound < other.ranges[right].upperBound {
                left += 1
            } else {
                right += 1
            }
        }
        return result
    }
}

extension NodeSet: Sequence {
    /// Counts through the ranges, lowest number first.
    public struct Iterator: IteratorProtocol {
        private let ranges: [ClosedRange<NodeNumber>]
        private var rangeIndex = 0
        private var upcoming: Int

        init(_ ranges: [ClosedRange<NodeNumber>]) {
            self.ranges = ranges
            upcoming = ranges.first.map { Int($0.lowerBound.rawValue) } ?? 0
        }

        public mutating func next() -> NodeNumber? {
            guard rangeIndex < ranges.count else { return nil }
            let number = NodeNumber(Int32(upcoming))
            if number < ranges[rangeIndex].upperBound {
                upcoming += 1
            } else {
                rangeIndex += 1
                if rangeIndex < ranges.count {
                    upcoming = Int(ranges[rangeIndex].lowerBound.rawValue)
                }
            }
            return number
        }
    }

    public func makeIterator() -> Iterator { Iterator(ranges) }

    public var underestimatedCount: Int { count }
}

extension NodeSet: CustomStringConvertible {
    /// `0-3,7`, with the front end as `master`: what a node specification would say.
    public var description: String {
        var parts: [String] = []
        for range in ranges {
            var lower = range.lowerBound
            if lower == .master {
                parts.append("master")
                guard range.upperBound > .master else { continue }
                lower = 0
            }
            parts.append(
                lower == range.upperBound ? "\(lower)" : "\(lower)-\(range.upperBound)")
        }
        return parts.joined(separator: ",")
    }
}

extension NodeSet: ExpressibleByArrayLiteral {
    public init(arrayLiteral elements: NodeNumber...) { self.init(elements) }
}
