import Ring
import System

/// Serves the master's metrics on a TCP address, on the daemon's ring: a few connections at a time,
/// one short request on each. The daemon says what is answered.
final class MetricsServer {
    /// Kinds of its ring operations.
    enum OperationKind {
        static let accept: UInt8 = 17
        static let readable: UInt8 = 18
        static let writable: UInt8 = 19
        static let all = accept...writable
    }

    private final class Connection {
        let descriptor: OwnedDescriptor
        let deadlineNanoseconds: UInt64
        var received: [UInt8] = []
        var outgoing: [UInt8] = []
        var sentCount = 0

        init(_ descriptor: consuming OwnedDescriptor, deadline: UInt64) {
            self.descriptor = descriptor
            deadlineNanoseconds = deadline
        }
    }

    /// Further ones are closed at once.
    static let connectionLimit = 16
    /// A connection that is not done after this long is closed.
    static let connectionNanoseconds: UInt64 = 10_000_000_000

    /// Where it listens, with the port that it was given.
    let address: SocketAddress
    private var acceptor: Acceptor
    private var connections: [UInt32: Connection] = [:]
    private var nextNumber: UInt32 = 0

    init(address: SocketAddress) throws(SystemCallError) {
        let listener = try Socket.listening(on: address)
        self.address = Socket.localAddress(of: listener.number) ?? address
        acceptor = Acceptor(listener, tag: OperationTag(kind: OperationKind.accept, slot: 0))
    }

    func start(on ring: inout Ring) { acceptor.start(on: &ring) }

    /// When `tick` has something to do at the earliest.
    var deadlineNanoseconds: UInt64 {
        min(
            acceptor.resumeNanoseconds ?? .max,
            connections.values.lazy.map(\.deadlineNanoseconds).min() ?? .max)
    }

    func tick(now: UInt64, ring: inout Ring) {
        acceptor.tick(now: now, ring: &ring)
        for (number, connection) in connections where now >= connection.deadlineNanoseconds {
            close(number, ring: &ring)
        }
    }

    /// Takes a completion of one of its operations.
    /// - Returns: the connection whose request is whole, to be answered now, and the request.
    func take(
        _ completion: Completion, now: UInt64, ring: inout Ring
    ) -> (connection: UInt32, request: ScrapeRequest)? {
        let number = completion.tag.slot
        switch completion.tag.kind {
        case OperationKind.accept: accept(completion, now: now, ring: &ring)
        case OperationKind.writable: send(number, ring: &ring)
        default:
            let request = receive(number, ring: &ring)
            guard request != .incomplete else { break }
            return (number, request)
        }
        return nil
    }

    func answer(_ number: UInt32, _ bytes: [UInt8], ring: inout Ring) {
        guard let connection = connections[number] else { return }
        connection.outgoing = bytes
        send(number, ring: &ring)
    }

    private func accept(_ completion: Completion, now: UInt64, ring: inout Ring) {
        guard case .connection(let descriptor) = acceptor.take(completion, now: now, ring: &ring)
        else { return }
        let owner = OwnedDescriptor(adopting: descriptor)
        guard connections.count < Self.connectionLimit else { return }
        let number = nextNumber
        nextNumber &+= 1
        let connection = Connection(owner, deadline: now + Self.connectionNanoseconds)
        connections[number] = connection
        poll(connection, number, for: .readable, ring: &ring)
    }

    private func poll(
        _ connection: Connection, _ number: UInt32, for readiness: Readiness, ring: inout Ring
    ) {
        ring.poll(
            connection.descriptor.number, for: readiness, tag: Self.tag(number, readiness))
    }

    private static func tag(_ number: UInt32, _ readiness: Readiness) -> OperationTag {
        OperationTag(
            kind: readiness == .readable ? OperationKind.readable : OperationKind.writable,
            slot: number)
    }

    /// - Returns: what has been asked so far; `incomplete` too where nobody asks any more.
    private func receive(_ number: UInt32, ring: inout Ring) -> ScrapeRequest {
        guard let connection = connections[number], connection.outgoing.isEmpty else {
            return .incomplete
        }
        do throws(SystemCallError) {
            let bytes = try Socket.receiveAvailable(
                connection.descriptor.number, atMost: ScrapeRequest.byteLimit)
            guard bytes?.isEmpty != true else {
                close(number, ring: &ring)
                return .incomplete
            }
            connection.received += bytes ?? []
        } catch {
            close(number, ring: &ring)
            return .incomplete
        }
        let request = ScrapeRequest(connection.received)
        if request == .incomplete { poll(connection, number, for: .readable, ring: &ring) }
        return request
    }

    private func send(_ number: UInt32, ring: inout Ring) {
        guard let connection = connections[number] else { return }
        while connection.sentCount < connection.outgoing.count {
            do throws(SystemCallError) {
                guard
                    let count = try Socket.sendAvailable(
                        connection.descriptor.number, connection.outgoing,
                        from: connection.sentCount, hasMore: false)
                else {
                    poll(connection, number, for: .writable, ring: &ring)
                    return
                }
                connection.sentCount += count
            } catch { break }
        }
        close(number, ring: &ring)
    }

    private func close(_ number: UInt32, ring: inout Ring) {
        guard connections[number] != nil else { return }
        ring.cancel(Self.tag(number, .readable))
        ring.cancel(Self.tag(number, .writable))
        connections[number] = nil
    }
}
