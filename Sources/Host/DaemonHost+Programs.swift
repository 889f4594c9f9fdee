import CSystem
import DaemonLog
import Logging
import Ring
package import System
import Wire

// The sockets of local programs on the ring.
extension DaemonHost {
    mutating func acceptProgram(_ completion: Completion) {
        let now = Clock.monotonicNanoseconds
        switch programs.listener.take(completion, now: now, ring: &ring) {
        case .connection(let number):
            do throws(SystemCallError) {
                pollReadable(try programs.insert(OwnedDescriptor(adopting: number)))
            } catch {
                log.program.warning("a local connection is refused: \(error)")
            }
        case .paused(let errorNumber):
            log.program.error(
                "local programs wait: \(SystemCallError("accept", errorNumber: errorNumber))")
        case .nothing: break
        }
    }

    /// Serves a program's second connection, which it has brought along.
    package mutating func adopt(
        _ socket: consuming OwnedDescriptor, of client: Client
    ) throws(SystemCallError) -> Client {
        let adopted = try programs.insert(socket)
        guard adopted.caller.user == client.caller.user else {
            programs.remove(adopted)
            throw SystemCallError("take another user's socket", errorNumber: 1)
        }
        adopted.hasSaidHello = true
        pollReadable(adopted)
        return adopted
    }

    mutating func pollReadable(_ client: Client) {
        ring.poll(
            client.descriptorNumber, for: .readable,
            tag: programs.tag(HostOperation.programReadable, client))
    }

    mutating func forget(_ client: Client) {
        client.isClosed = true
        programs.remove(client)
        if let place = client.place {
            // Nothing for a program's ears: its conversation ends.
            send(
                FrameHeader.frame(FrameHeader(.clientHears, subject: place.number)),
                on: place.link)
            return
        }
        ring.cancel(programs.tag(HostOperation.programReadable, client))
        if client.isPollingWritable {
            ring.cancel(programs.tag(HostOperation.programWritable, client))
        }
    }

    /// Passes bytes to a program on a node.
    package mutating func pass(_ bytes: [UInt8], to place: RemotePlace) {
        let limit = Int(FrameKind.clientHears.bodyLimit)
        for start in stride(from: 0, to: bytes.count, by: limit) {
            let part = Array(bytes[start..<min(start + limit, bytes.count)])
            send(
                FrameHeader.frame(
                    FrameHeader(.clientHears, subject: place.number), body: part),
                on: place.link)
        }
    }

    /// Sends what the socket takes of what waits for a program.
    /// - Returns: whether the program is still there.
    mutating func flush(_ client: Client) -> Bool {
        var sent = 0
        while sent < client.outgoing.count {
            var end = client.outgoing.count
            var descriptor: Int32 = -1
            for attached in client.outgoingDescriptors {
                if attached.place <= sent {
                    descriptor = attached.number
                } else {
                    end = min(end, attached.place)
                    break
                }
            }
            let result = unsafe client.outgoing.withUnsafeBytes {
                unsafe bp_send_descriptor(
                    client.descriptorNumber, $0.baseAddress! + sent, end - sent, descriptor)
            }
            if result == -11 || result == -4 {
                client.isPollingWritable = true
                ring.poll(
                    client.descriptorNumber, for: .writable,
                    tag: programs.tag(HostOperation.programWritable, client))
                break
            }
            guard result > 0 else {
                client.outgoing.removeAll()
                return false
            }
            if descriptor >= 0 { client.outgoingDescriptors.removeFirst() }
            sent += result
        }
        if sent == client.outgoing.count {
            client.outgoing.removeAll(keepingCapacity: client.outgoing.count < 1 << 20)
        } else {
            client.outgoing.removeFirst(sent)
        }
        client.outgoingDescriptors = client.outgoingDescriptors.map { ($0.place - sent, $0.number) }
        // The connection may become a job's, and live for days.
        if client.outgoingDescriptors.isEmpty { client.endLoan() }
        return true
    }
}
