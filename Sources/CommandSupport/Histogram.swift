/// How long each of many took, as bars of text.
public struct Histogram: Sendable {
    private var values: [UInt64] = []

    public init() {}

    public mutating func add(_ nanoseconds: UInt64) { values.append(nanoseconds) }

    /// The value below which a part of all lie; nil: there are none.
    public func quantile(_ part: Double) -> UInt64? {
        guard !values.isEmpty else { return nil }
        let sorted = values.sorted()
        return sorted[min(sorted.count - 1, Int(Double(sorted.count) * part))]
    }

    /// One line for each of `rowCount` equal spans between the least and the most.
    public func rendering(rowCount: Int = 8, barWidth: Int = 40) -> String {
        guard let least = values.min(), let most = values.max() else { return "" }
        let span = max(1, (most - least) / UInt64(rowCount) + 1)
        var counts = [Int](repeating: 0, count: rowCount)
        for value in values { counts[min(rowCount - 1, Int((value - least) / span))] += 1 }
        let highest = counts.max()!
        var text = ""
        for (row, count) in counts.enumerated() {
            let from = Stopwatch.seconds(least + UInt64(row) * span, digits: 3)
            let to = Stopwatch.seconds(least + UInt64(row + 1) * span, digits: 3)
            let bar = String(repeating: "#", count: (count * barWidth + highest - 1) / highest)
            text += "  \(from) - \(to) s \(Column.right("\(count)", 6)) \(bar)\n"
        }
        return text
    }
}
