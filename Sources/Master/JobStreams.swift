/// How much of a job's input its ranks have taken, so that the caller is given credit only for
/// what no rank still has to take.
struct JobStreams {
    /// Bytes for all ranks that each living rank has taken, by rank.
    private var takenByteCount: [UInt32: UInt64] = [:]
    /// Bytes for one rank alone that it has not taken, by rank.
    private var aloneByteCount: [UInt32: UInt64] = [:]
    private var sentByteCount: UInt64 = 0
    private var creditedByteCount: UInt64 = 0
    private var living: Set<UInt32>

    init(rankCount: Int) {
        living = Set(0..<UInt32(rankCount))
    }

    mutating func sentToAll(byteCount: Int) { sentByteCount += UInt64(byteCount) }

    mutating func sent(to rank: UInt32, byteCount: Int) {
        aloneByteCount[rank, default: 0] += UInt64(byteCount)
    }

    /// A rank has taken bytes.
    /// - Returns: bytes that the caller may send anew.
    mutating func taken(by rank: UInt32, byteCount: UInt64) -> UInt64 {
        let alone = min(byteCount, aloneByteCount[rank] ?? 0)
        if alone > 0 { aloneByteCount[rank]! -= alone }
        // No rank can have taken more than was sent, whatever its node says.
        let taken = takenByteCount[rank] ?? 0
        takenByteCount[rank] = taken + min(byteCount - alone, sentByteCount - taken)
        return alone + newlyCredited()
    }

    /// An ended rank counts as having taken everything.
    mutating func ended(_ rank: UInt32) -> UInt64 {
        guard living.remove(rank) != nil else { return 0 }
        return (aloneByteCount.removeValue(forKey: rank) ?? 0) + newlyCredited()
    }

    private mutating func newlyCredited() -> UInt64 {
        var least = sentByteCount
        for rank in living { least = min(least, takenByteCount[rank] ?? 0) }
        guard least > creditedByteCount else { return 0 }
        defer { creditedByteCount = least }
        return least - creditedByteCount
    }
}
