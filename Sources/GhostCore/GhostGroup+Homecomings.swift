import Wire

// Ghosts that become their ranks' processes again.
extension GhostGroup {
    /// A rank's process is about to come to where its ghost is.
    /// - Returns: whether the ghost can take it.
    public mutating func rankArrives(_ rank: Int) -> Bool {
        guard ghosts.indices.contains(rank), ghosts[rank].rank == .running,
            !ghosts[rank].isDead, ghosts[rank].order == nil, !ghosts[rank].isAwaiting
        else { return false }
        ghosts[rank].isAwaiting = true
        return true
    }

    /// The ghost has come for what it needs; `hasAll`: and has it.
    public mutating func ghostHasCome(_ ghost: Int, hasAll: Bool, effects: inout [Effect]) {
        guard hasAll, canLeave(ghost) else {
            ghosts[ghost].isAwaiting = false
            if ghosts[ghost].order == nil { effects.append(.stay(ghost: ghost)) }
            effects.append(.resume(ghost: ghost, signal: 0))
            return
        }
        effects.append(.letGo(ghost: ghost))
        leave(ghost)
    }

    public func isAwaiting(_ ghost: Int) -> Bool { ghosts[ghost].isAwaiting }
    /// It was told how to end.
    public func isOrdered(_ ghost: Int) -> Bool { ghosts[ghost].order != nil }

    /// Whether a rank's process has to wait until its ghost goes on.
    public func isStopped(_ rank: Int) -> Bool {
        ghosts.indices.contains(rank) && ghosts[rank].isStopped
    }

    /// One that stops, or has to come for that, does so as a ghost.
    public func canLeave(_ ghost: Int) -> Bool {
        let ghost = ghosts[ghost]
        return ghost.isAwaiting && ghost.order == nil && !ghost.isCalled && !ghost.isStopped
            && !ghost.rankHasStopped
    }

    /// The process will not come.
    public mutating func arrivalFailed(_ ghost: Int) {
        ghosts[ghost].isAwaiting = false
    }

    /// The ghost that was let go could not become the process: it has ended, and the rank with it.
    public mutating func ghostIsLost(_ ghost: Int, effects: inout [Effect]) {
        guard ghosts[ghost].rank == .running else { return }
        effects.append(.forward(rank: ghost, RankSignal(Self.kill, reach: .process)))
    }
}
