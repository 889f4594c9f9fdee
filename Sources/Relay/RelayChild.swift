import Wire

/// One child of this node in a launch's relay tree, as its parent sees it.
struct RelayChild: Sendable {
    enum State: Sendable {
        /// Waiting for a link.
        case connecting
        /// Told of the launch; it will say which chunks it has before it gets any.
        case adopted
        /// Getting chunks, then answering.
        case streaming
        /// Its whole subtree has answered.
        case finished
        /// Dead, stalled, unreachable or withdrawn: its children are ours now.
        case lost
    }

    let node: Int32
    let subtree: RelaySubtree
    /// Whether the node may already know the launch through a parent that was lost.
    let isAdoption: Bool
    var state: State = .connecting
    var link: LinkID?
    /// The first chunk that has not been queued for it.
    var nextChunk: UInt32 = 0
    /// Chunks below this one may be queued: its credit.
    var creditLimit: UInt32 = 0
    /// When its last byte came, or when waiting for it began.
    var heardNanoseconds: UInt64

    var isOutstanding: Bool { state != .finished && state != .lost }
}
