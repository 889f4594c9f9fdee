/// What many ranks write, put in order: all of the first rank's, then all of the second's.
///
/// A rank whose turn has not come may write until its window is full, for nothing that is kept here
/// is credited; so little is ever kept.
public struct OutputTurns: Sendable {
    public enum Item: Equatable, Sendable {
        case bytes([UInt8], LineAssembler.Stream)
        case end(LineAssembler.Stream)
        /// All of this rank has been shown. A rank that was never started has none of it.
        case over(rank: Int)
    }

    private var kept: [[Item]]
    private var isOver: [Bool]
    private var turn = 0

    public init(rankCount: Int) {
        kept = Array(repeating: [], count: rankCount)
        isOver = Array(repeating: false, count: rankCount)
    }

    /// What may be shown now that this has come.
    public mutating func add(_ item: Item, of rank: Int) -> [Item] {
        guard rank != turn else { return [item] }
        // Behind its turn a rank has nothing more to say; if it does, it is not lost.
        guard rank > turn else { return [item] }
        kept[rank].append(item)
        return []
    }

    /// Nothing more comes from this rank.
    /// - Returns: what may be shown now: of it, and of those whose turn comes.
    public mutating func end(_ rank: Int, wasStarted: Bool) -> [Item] {
        guard !isOver[rank] else { return [] }
        isOver[rank] = true
        if wasStarted { kept[rank].append(.over(rank: rank)) }
        return rank == turn ? advance() : []
    }

    /// Everything that is left: the job is over.
    public mutating func finish() -> [Item] {
        defer { turn = kept.count }
        var rest: [Item] = []
        for rank in min(turn, kept.count)..<kept.count { rest += take(rank) }
        return rest
    }

    private mutating func advance() -> [Item] {
        var shown: [Item] = []
        while turn < kept.count {
            shown += take(turn)
            guard isOver[turn] else { break }
            turn += 1
        }
        return shown
    }

    private mutating func take(_ rank: Int) -> [Item] {
        let items = kept[rank]
        kept[rank] = []
        return items
    }
}
