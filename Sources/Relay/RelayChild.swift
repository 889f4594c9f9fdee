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

    /// Nodes of its subtree that are known to have the launch, itself included; counted in
    /// launches that are watched.
    private(set) var reachedCount = 0

    /// The child says how many nodes of its subtree have the launch; it is believed up to their
    /// number.
    mutating func reaches(_ count: UInt32) {
        reachedCount = max(reachedCount, min(Int(count), subtree.entries.count))
    }

    /// It is lost: its own children are counted as ours from now on.
    mutating func lose() {
        state = .lost
        reachedCount = min(reachedCount, 1)
    }

    var isOutstanding: Bool { state != .finished && state != .lost }
}
