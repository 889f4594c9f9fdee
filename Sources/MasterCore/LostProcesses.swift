/// A process whose node was lost.
public struct LostProcess: Equatable, Sendable {
    public let entry: ProcessEntry
    public let cause: RankEndCause
}

/// Processes that have ended, for their callers, because their nodes were lost, by number: the
/// latest ones.
public struct LostProcesses: Sendable {
    private var entries: [Int32: LostProcess] = [:]
    /// Numbers in the order of their coming; those that are in use again are not in `entries`.
    private var order: [Int32] = []
    private var oldest = 0

    /// A few launches on the largest cluster.
    static let limit = 1 << 16

    public subscript(process: Int32) -> LostProcess? { entries[process] }

    mutating func insert(_ entry: ProcessEntry, cause: RankEndCause) {
        if order.count < Self.limit {
            order.append(entry.process)
        } else {
            // A number that has come twice is forgotten with its first coming.
            entries[order[oldest]] = nil
            order[oldest] = entry.process
            oldest = (oldest + 1) % Self.limit
        }
        entries[entry.process] = LostProcess(entry: entry, cause: cause)
    }

    /// The number is another process's now.
    mutating func forget(_ process: Int32) { entries[process] = nil }
}
