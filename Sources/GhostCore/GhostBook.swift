/// How much of each thing the ghosts of a job still have: all 0 once the job is over.
public struct GhostBook: Equatable, Sendable {
    public var livingGhostCount = 0
    public var runningRankCount = 0
    /// Ranks that have ended, while their output is still on its way.
    public var outputRankCount = 0
    /// Ghosts that were told to stop as their rank has, and have not come yet.
    public var calledGhostCount = 0

    public init(livingGhostCount: Int = 0, runningRankCount: Int = 0) {
        self.livingGhostCount = livingGhostCount
        self.runningRankCount = runningRankCount
    }
}

extension GhostGroup {
    public var book: GhostBook {
        var book = GhostBook()
        for ghost in ghosts {
            if !ghost.isDead {
                book.livingGhostCount += 1
                if ghost.isCalled { book.calledGhostCount += 1 }
            }
            switch ghost.rank {
            case .running: book.runningRankCount += 1
            case .ended, .draining: book.outputRankCount += 1
            case .awaited, .over: break
            }
        }
        return book
    }
}
