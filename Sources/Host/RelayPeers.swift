import Relay
import Wire

/// The relay links this daemon opened to other nodes, kept warm from launch to launch, and who
/// waits for one that is still being opened.
struct RelayPeers: Sendable {
    /// A launch that wants a link to a node.
    struct Waiter: Equatable, Sendable {
        let launch: UInt64
        let node: Int32
    }

    enum Standing: Equatable, Sendable {
        case ready(LinkID)
        /// Somebody is waiting for it already; so do we.
        case opening
        /// To be opened, and then told by `opening(_:to:)`.
        case absent
    }

    private var linkOfAddress: [NodeAddress: LinkID] = [:]
    private var addressOfLink: [LinkID: NodeAddress] = [:]
    private var waiters: [LinkID: [Waiter]] = [:]

    init() {}

    /// Where the link to `address` stands; a waiter is noted while it is being opened.
    mutating func want(_ waiter: Waiter, at address: NodeAddress) -> Standing {
        guard let link = linkOfAddress[address] else { return .absent }
        guard waiters[link] != nil else { return .ready(link) }
        waiters[link]!.append(waiter)
        return .opening
    }

    mutating func opening(_ link: LinkID, to address: NodeAddress, for waiter: Waiter) {
        linkOfAddress[address] = link
        addressOfLink[link] = address
        waiters[link] = [waiter]
    }

    /// The link stands, or has failed: who waited for it.
    mutating func takeWaiters(of link: LinkID) -> [Waiter] {
        waiters.removeValue(forKey: link) ?? []
    }

    mutating func forget(_ link: LinkID) {
        waiters[link] = nil
        guard let address = addressOfLink.removeValue(forKey: link) else { return }
        if linkOfAddress[address] == link { linkOfAddress[address] = nil }
    }

    /// Links that somebody waits for.
    var openingCount: Int { waiters.count }

    func contains(_ link: LinkID) -> Bool { addressOfLink[link] != nil }
}

extension RelayPeers.Waiter {
    init(_ launch: UInt64, _ node: Int32) {
        self.launch = launch
        self.node = node
    }
}
