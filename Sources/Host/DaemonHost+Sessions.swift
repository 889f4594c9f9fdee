import Link
package import Relay
package import Wire

// Control links: what is said on them is kept until it has been acknowledged, so that another
// connection can go on where one has ended.
extension DaemonHost {
    /// From now on the link outlives its connection: both ends have let each other in.
    package mutating func beginSession(_ link: LinkID) { sessions.begin(link) }

    /// Nothing more is said on the link, and nothing is kept for it.
    package mutating func endSession(_ link: LinkID) {
        guard sessions.contains(link) else { return }
        if let connection = sessions.end(link) { links.close(connection, ring: &ring) }
    }

    /// Ends the connection of a link, and keeps what is said on it.
    package mutating func cut(_ link: LinkID) {
        if let connection = sessions.cut(link) { links.close(connection, ring: &ring) }
    }

    /// A link goes on by another connection: what the other end lacks is sent again.
    ///
    /// - Parameters:
    ///   - count: counted frames that the other end has received.
    ///   - welcome: goes before all else, with its resumption filled in.
    /// - Returns: false: what it lacks is not here.
    package mutating func resume(
        _ link: LinkID, by connection: LinkID, after count: UInt64, welcome: Welcome? = nil
    ) -> Bool {
        cut(link)
        guard let (resumption, frames) = sessions.resume(link, by: connection, after: count) else {
            return false
        }
        if var welcome {
            welcome.resumption = resumption
            links.send(welcome.frame, on: connection, store: store, ring: &ring)
        }
        for frame in frames { links.send(frame, on: connection, store: store, ring: &ring) }
        return true
    }

    /// The other end goes on with the counted frame of this number.
    /// - Returns: false: some are missing before it.
    package mutating func expect(first: UInt64, on link: LinkID) -> Bool {
        sessions.expect(first: first, on: link)
    }

    /// Counted frames that have come on a link.
    package func receivedCount(on link: LinkID) -> UInt64 { sessions.receivedCount(on: link) }

    /// Bytes that wait to be sent on a link, or to be acknowledged; 0 if there is none.
    package func waitingByteCount(on link: LinkID?) -> Int {
        guard let link else { return 0 }
        return sessions.keptByteCount(on: link) ?? links.waitingByteCount(on: link)
    }

    mutating func receive(_ header: FrameHeader, by connection: LinkID) -> ControlSessions.Arrival {
        let arrival = sessions.receive(header, by: connection)
        if case .act(let link) = arrival,
            let acknowledgement = sessions.takeDueAcknowledgement(on: link)
        {
            links.send(acknowledgement, on: connection, store: store, ring: &ring)
        }
        return arrival
    }
}
