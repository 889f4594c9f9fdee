/// Processes that have ended because their nodes did, by number: the latest ones.
public struct LostProcesses: Sendable {
    private var entries: [Int32: ProcessEntry] = [:]
    /// Numbers in the order of their coming; those that are in use again are not in `entries`.
    private var order: [Int32] = []
    private var oldest = 0

    /// A few launches on the largest cluster.
    static let limit = 1 << 16

    public subscript(process: Int32) -> ProcessEntry? { entries[process] }

    mutating func insert(_ entry: ProcessEntry) {
        if order.count < Self.limit {
            order.append(entry.process)
        } else {
            // A number that has come twice is forgotten with its first coming.
            entries[order[oldest]] = nil
            order[oldest] = entry.process
            oldest = (oldest + 1) % Self.limit
        }
        entries[entry.process] = entry
    }

    /// The number is another process's now.
    mutating func forget(_ process: Int32) { entries[process] = nil }
}
