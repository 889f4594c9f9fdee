public import Relay
public import Wire

/// What the slave's state wants done.
public enum SlaveEffect: Equatable, Sendable {
    /// Effects of a launch's relay.
    case relay(launch: UInt64, RelayEffect)
    /// A frame for the master.
    case control(frame: [UInt8])
    /// Have room for the image of this launch; answered by `storageIsReady` or `storageFailed`.
    case openStorage(launch: UInt64, order: LaunchOrder)
    /// The image is what this program of the node has handed over; answered like `openStorage`.
    case openImage(launch: UInt64, order: LaunchOrder, client: UInt32)
    /// Nothing of this launch is received or forwarded any more. Unless every child holds the whole
    /// image, bytes of it that were sent by reference may still be on their way.
    case closeStorage(launch: UInt64, childrenHaveAll: Bool)
    /// Every rank of this launch has an answer: those that run here need not step back any longer,
    /// and those that are held go on.
    case release(launch: UInt64)
    /// Start one rank from the complete image; answered by `rankIsPlaced` or `rankFailed`.
    case spawn(launch: UInt64, rank: RelaySubtree.Rank)
    /// Send a signal to a rank.
    case signal(launch: UInt64, rank: UInt32, RankSignal)
    /// The launch and everything the daemon keeps for it can be forgotten.
    case forget(launch: UInt64)
    /// A link broke the protocol: close it, with this sentence in the log.
    case refuse(LinkID, reason: String)
    case note(String)
}
