public import Wire

/// What a launch's relay wants done. Decisions only: a daemon carries them out on its ring, the
/// simulated cluster on its seeded network.
public enum RelayEffect: Equatable, Sendable {
    /// Have a link to this node ready, an existing one or a new one; answered by `linkIsReady` or
    /// `linkFailed`.
    case connect(node: Int32, address: NodeAddress)
    case send(LinkID, frame: [UInt8])
    /// Queue one chunk of this launch on a link, behind what is queued there already.
    case forward(LinkID, chunk: UInt32)
    /// Give a link up: its peer shows no life.
    case close(LinkID)
    /// Worth a line in the log.
    case note(String)
}

/// A daemon's decisions, as far as they answer the effects of its relays.
public protocol RelayState {
    associatedtype Effect

    /// The link that a relay asked for stands.
    mutating func linkIsReady(
        launch: UInt64, node: Int32, link: LinkID, now: UInt64, effects: inout [Effect])

    /// The link that a relay asked for did not come about.
    mutating func linkFailed(
        launch: UInt64, node: Int32, errorNumber: Int32, reason: String, now: UInt64,
        effects: inout [Effect])
}
