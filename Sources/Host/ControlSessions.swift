import Relay
import Wire

/// Control links whose conversations outlive their connections. A link keeps the number of its
/// first connection; the connections under it come and go.
struct ControlSessions: Sendable {
    private struct Session {
        var journal = FrameJournal()
        /// nil: it is cut.
        var connection: LinkID?
    }

    /// What a frame that has come is.
    enum Arrival: Equatable {
        /// To be acted on, as one of this link.
        case act(LinkID)
        /// It has been here before, or comes by a connection that is no longer used.
        case drop
        case broken(LinkID, reason: String)
    }

    private var sessions: [LinkID: Session] = [:]
    private var linkOfConnection: [LinkID: LinkID] = [:]

    mutating func begin(_ link: LinkID) {
        sessions[link] = Session(connection: link)
        linkOfConnection[link] = link
    }

    func contains(_ link: LinkID) -> Bool { sessions[link] != nil }

    /// - Returns: the connection that is to be closed.
    mutating func end(_ link: LinkID) -> LinkID? {
        let connection = cut(link)
        sessions[link] = nil
        return connection
    }

    /// Lets go of the connection, and keeps the rest.
    mutating func cut(_ link: LinkID) -> LinkID? {
        guard let connection = sessions[link]?.connection else { return nil }
        sessions[link]?.connection = nil
        linkOfConnection[connection] = nil
        return connection
    }

    /// The connection has ended by itself.
    /// - Returns: its link; nil: nobody used it any more.
    mutating func connectionIsLost(_ connection: LinkID) -> LinkID? {
        guard let link = linkOfConnection[connection] else {
            return contains(connection) ? nil : connection
        }
        _ = cut(link)
        return link
    }

    // MARK: Frames

    /// Remembers a frame of a link, and writes into a sign of life how much has come.
    /// - Returns: the connection it goes by; nil: it waits for one.
    mutating func willSend(_ frame: inout [UInt8], on link: LinkID) -> LinkID? {
        guard sessions[link] != nil else { return link }
        switch FrameHeader.kind(of: frame) {
        case .ping?: frame = told(.ping, on: link)
        case .pong?: frame = told(.pong, on: link)
        case let kind? where kind.isCounted: sessions[link]!.journal.willSend(frame)
        default: break
        }
        return sessions[link]!.connection
    }

    private mutating func told(_ kind: FrameKind, on link: LinkID) -> [UInt8] {
        FrameHeader.frame(FrameHeader(kind, launch: sessions[link]!.journal.tell()))
    }

    mutating func receive(_ header: FrameHeader, by connection: LinkID) -> Arrival {
        guard let link = linkOfConnection[connection] else {
            return contains(connection) ? .drop : .act(connection)
        }
        switch header.kind {
        case .ping, .pong, .acknowledge:
            do throws(WireError) {
                try sessions[link]!.journal.acknowledge(header.launch)
            } catch {
                return .broken(link, reason: "\(error)")
            }
        case let kind where kind.isCounted:
            let byteCount = FrameHeader.byteCount + Int(header.bodyByteCount)
            guard sessions[link]!.journal.receive(byteCount: byteCount) else { return .drop }
        default: break
        }
        return .act(link)
    }

    /// An acknowledgement that should not wait for the next sign of life.
    mutating func takeDueAcknowledgement(on link: LinkID) -> [UInt8]? {
        guard sessions[link]?.journal.owesAcknowledgement == true else { return nil }
        return told(.acknowledge, on: link)
    }

    /// Bytes that the other end has not acknowledged; nil: the link is none of these.
    func keptByteCount(on link: LinkID) -> Int? { sessions[link]?.journal.keptByteCount }

    func receivedCount(on link: LinkID) -> UInt64 { sessions[link]?.journal.receivedCount ?? 0 }

    // MARK: Another connection

    /// The link goes on by this connection, once the last one is out of use (`cut`).
    /// - Returns: where, and the frames that the other end lacks; nil: it cannot go on.
    mutating func resume(
        _ link: LinkID, by connection: LinkID, after count: UInt64
    ) -> (Resumption, ArraySlice<[UInt8]>)? {
        guard let (first, frames) = sessions[link]?.journal.resume(after: count) else { return nil }
        sessions[link]!.connection = connection
        linkOfConnection[connection] = link
        return (
            Resumption(receivedCount: sessions[link]!.journal.tell(), firstFrame: first), frames
        )
    }

    mutating func expect(first: UInt64, on link: LinkID) -> Bool {
        sessions[link]?.journal.expect(first: first) ?? false
    }
}
