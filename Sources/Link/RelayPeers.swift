public import Relay
public import Wire

/// The relay links this daemon opened to other nodes, kept warm from launch to launch, and who
/// waits for one that is still being opened.
public struct RelayPeers: Sendable {
    /// A launch that wants a link to a node.
    public struct Waiter: Equatable, Sendable {
        public let launch: UInt64
        public let node: Int32
    }

    public enum Standing: Equatable, Sendable {
        case ready(LinkID)
        /// Somebody is waiting for it already; so do we.
        case opening
        /// To be opened, and then told by `opening(_:to:)`.
        case absent
    }

    private var linkOfAddress: [NodeAddress: LinkID] = [:]
    private var addressOfLink: [LinkID: NodeAddress] = [:]
    private var waiters: [LinkID: [Waiter]] = [:]

    public init() {}

    /// Where the link to `address` stands; a waiter is noted while it is being opened.
    public mutating func want(_ waiter: Waiter, at address: NodeAddress) -> Standing {
        guard let link = linkOfAddress[address] else { return .absent }
        guard waiters[link] != nil else { return .ready(link) }
        waiters[link]!.append(waiter)
        return .opening
    }

    public mutating func opening(_ link: LinkID, to address: NodeAddress, for waiter: Waiter) {
        linkOfAddress[address] = link
        addressOfLink[link] = address
        waiters[link] = [waiter]
    }

    /// The link stands, or has failed: who waited for it.
    public mutating func takeWaiters(of link: LinkID) -> [Waiter] {
        waiters.removeValue(forKey: link) ?? []
    }

    public mutating func forget(_ link: LinkID) {
        waiters[link] = nil
        guard let address = addressOfLink.removeValue(forKey: link) else { return }
        if linkOfAddress[address] == link { linkOfAddress[address] = nil }
    }

    public func contains(_ link: LinkID) -> Bool { addressOfLink[link] != nil }
}

extension RelayPeers.Waiter {
    public init(_ launch: UInt64, _ node: Int32) {
        self.launch = launch
        self.node = node
    }
}
