import CLocalProtocol
import CSystem
import LocalProtocol
import DaemonLog
import Logging
import System
import Wire

// Programs of this machine: what both daemons answer alike, and the way to what each answers for
// itself.
extension HostedDaemon where Self: ~Copyable {
    mutating func receive(from client: Client) {
        var space = [UInt8](repeating: 0, count: 64 << 10)
        while !client.isClosed {
            var descriptor: Int32 = -1
            let count = unsafe space.withUnsafeMutableBytes {
                unsafe bp_receive_descriptor(
                    client.descriptorNumber, $0.baseAddress!, $0.count, &descriptor)
            }
            if descriptor >= 0 { client.attached = OwnedDescriptor(adopting: descriptor) }
            if count == -11 || count == -4 { break }
            guard count > 0 else {
                close(client)
                return
            }
            client.received.append(contentsOf: space[..<count])
            guard takeMessages(of: client) else { return }
        }
        if !client.isClosed { host.pollReadable(client) }
    }

    /// Acts on every whole message that has come.
    /// - Returns: whether the program is still to be listened to.
    private mutating func takeMessages(of client: Client) -> Bool {
        do throws(LocalProtocolError) {
            while !client.isClosed, let message = try client.takeMessage() {
                try answer(message, from: client)
                if !host.effects.isEmpty { settle() }
            }
            return true
        } catch {
            refuse(client, request: 0, errorNumber: 71, reason: error.description)
            close(client)
            return false
        }
    }

    private mutating func answer(
        _ message: LocalMessage, from client: Client
    ) throws(LocalProtocolError) {
        if message.kind == BPROC_LOCAL_HELLO {
            try hello(message, from: client)
            return
        }
        guard client.hasSaidHello else {
            throw .invalid("the first message of a connection is hello")
        }
        switch message.kind {
        case BPROC_LOCAL_HELPER_REQUEST: lendHelper(message, to: client)
        case BPROC_LOCAL_NODES_WATCH: watch(message, from: client)
        default: try act(on: message, from: client)
        }
    }

    private mutating func lendHelper(_ message: LocalMessage, to client: Client) {
        guard let helper = host.programs.helperNumber else {
            refuse(
                client, request: message.request, errorNumber: 2,
                reason: "this daemon cannot open its own program")
            return
        }
        // Each with a byte of its own of the header that follows.
        client.outgoingDescriptors.append((client.outgoing.count, helper))
        if let number = host.programs.lendDirectory(to: client) {
            client.outgoingDescriptors.append((client.outgoing.count + 1, number))
        }
        send(
            LocalMessage.bytes(
                BPROC_LOCAL_HELPER, request: message.request,
                body: LocalMessage.bytes(of: network)), to: client)
    }

    private mutating func hello(
        _ message: LocalMessage, from client: Client
    ) throws(LocalProtocolError) {
        guard let raw = message.load(bproc_local_hello.self) else {
            throw .tooSmall("hello message")
        }
        guard raw.protocol_version == UInt32(BPROC_LOCAL_VERSION) else {
            throw .versionMismatch(theirs: UInt16(truncatingIfNeeded: raw.protocol_version))
        }
        guard raw.architecture == Hello.architectureX8664 else {
            throw .invalid(
                "the library is for \(Hello.architectureName(raw.architecture)), the daemon for "
                    + "x86-64")
        }
        if let refusal = programRefusal {
            refuse(client, request: message.request, errorNumber: 16, reason: refusal)
            return
        }
        client.hasSaidHello = true
        var answer = bproc_local_welcome()
        answer.protocol_version = UInt32(BPROC_LOCAL_VERSION)
        answer.architecture = Hello.architectureX8664
        answer.node = host.node
        answer.node_count = UInt32(nodeCount)
        answer.grace_seconds = graceSeconds
        var bytes = LocalMessage.bytes(of: answer)
        LocalMessage.put(
            ProductVersion.text, into: &bytes,
            at: MemoryLayout<bproc_local_welcome>.offset(of: \.version)!, capacity: 32)
        send(
            LocalMessage.bytes(BPROC_LOCAL_WELCOME, request: message.request, body: bytes),
            to: client)
    }

    package mutating func refuse(
        _ client: Client, request: UInt32, errorNumber: Int32, reason: String
    ) {
        host.log.program.warning("user \(client.caller.user): \(reason)")
        send(
            LocalMessage.refusal(request: request, errorNumber: errorNumber, reason: reason),
            to: client)
    }

    package mutating func send(_ bytes: [UInt8], to client: Client) {
        guard !client.isClosed else { return }
        if let place = client.place {
            host.pass(bytes, to: place)
            return
        }
        client.outgoing += bytes
        guard client.outgoing.count <= Client.backlogByteLimit else {
            host.log.program.warning("a local program does not read what is sent to it")
            close(client)
            return
        }
        if !client.isPollingWritable, !host.flush(client) { close(client) }
    }

    package mutating func close(_ client: Client) {
        guard !client.isClosed else { return }
        host.forget(client)
        clientIsGone(client)
    }
}
