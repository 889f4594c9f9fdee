package import CLocalProtocol
package import Host
import Link
package import LocalProtocol
import DaemonLog
import Logging
import System
import Wire

// Programs of this node. What they ask is asked of the master; a launch's image stays here, and
// this node is then the root of its tree.
extension SlaveDaemon {
    package var nodeCount: Int { clusterNodeCount }
    /// Nothing is known: the master has the table of nodes.
    package var network: bproc_local_network { bproc_local_network() }

    /// Its own processes end with it, and what they have started elsewhere too.
    package var graceSeconds: UInt32 { 0 }

    package var programRefusal: String? {
        isWelcome ? nil : "node \(host.node) has no master at present"
    }

    package mutating func act(
        on message: LocalMessage, from client: Client
    ) throws(LocalProtocolError) {
        if let refusal = programRefusal {
            refuse(client, request: message.request, errorNumber: 16, reason: refusal)
            return
        }
        switch message.kind {
        case BPROC_LOCAL_NODES_REQUEST: askForNodes(request: message.request, client)
        case BPROC_LOCAL_NODE_REQUEST, BPROC_LOCAL_PROCESSES_REQUEST, BPROC_LOCAL_KILL,
            BPROC_LOCAL_STATUS_REQUEST:
            try askMaster(message, client)
        case BPROC_LOCAL_LAUNCH: launch(message, from: client)
        case BPROC_LOCAL_COLLECT, BPROC_LOCAL_LEAVES, BPROC_LOCAL_ARRIVED:
            try hearOfArrival(message, from: client)
        case BPROC_LOCAL_JOB_WATCH:
            client.attached = nil
            // ENOSYS
            refuse(
                client, request: message.request, errorNumber: 38,
                reason: "only the master tells the server of a job's ghosts")
        case BPROC_LOCAL_INPUT, BPROC_LOCAL_SIGNAL, BPROC_LOCAL_RANK_SIGNAL,
            BPROC_LOCAL_OUTPUT_CREDIT, BPROC_LOCAL_OUTPUT_CLOSED, BPROC_LOCAL_KEEP,
            BPROC_LOCAL_GHOSTS_SERVED, BPROC_LOCAL_GHOSTS_BOOK:
            guard client.hasJob else { return }
            try passOn(message, of: client)
        default: throw .invalid("unknown message kind \(message.header.kind)")
        }
    }

    package mutating func clientIsGone(_ client: Client) {
        arrivalIsLost(with: client)
        guard client.hasJob else { return }
        sendControl(FrameHeader.frame(FrameHeader(.clientSays, subject: number(of: client))))
    }

    /// Without a master there is nobody to answer.
    mutating func endConversations() {
        nodesWaiters.removeAll()
        for client in host.programs.all {
            client.hasJob = false
            close(client)
        }
    }

    // MARK: Nodes

    /// One question at a time is under way, however many programs ask.
    private mutating func askForNodes(request: UInt32, _ client: Client) {
        nodesWaiters.append(.program(client.id, request: request))
        if nodesWaiters.count == 1 { askForNodes() }
    }

    private mutating func askForNodes() {
        sendControl(FrameHeader.frame(FrameHeader(.nodesRequest)))
    }

    package mutating func watchBegins() {
        guard !isWatchingNodes else { return }
        isWatchingNodes = true
        sendControl(FrameHeader.frame(FrameHeader(.nodesWatch)))
    }

    /// The answer to a question that is under way is younger than this news.
    mutating func nodesHaveChanged() {
        nodesWaiters.append(.watchers)
        if nodesWaiters.count == 1 { askForNodes() }
    }

    /// The master reads the request and answers the program.
    private mutating func askMaster(
        _ message: LocalMessage, _ client: Client
    ) throws(LocalProtocolError) {
        try requireRoom()
        guard message.body.count <= ClientRequest.messageByteLimit else {
            throw .tooLarge(byteCount: UInt32(message.body.count))
        }
        let request = ClientRequest(
            caller: client.caller, kind: message.header.kind, request: message.request,
            message: message.body)
        sendControl(request.frame(client: number(of: client)))
    }

    mutating func receiveNodes(_ body: [UInt8]) {
        let waiters = nodesWaiters
        nodesWaiters.removeAll()
        for waiter in waiters {
            switch waiter {
            case .program(let id, let request):
                guard let client = host.programs[id] else { continue }
                answer(client, request: request, nodes: body)
            case .watchers:
                watchedNodes = WatchedTable.entries(of: body)
                tellWatchers()
            }
        }
    }

    // MARK: Jobs

    private mutating func launch(_ message: LocalMessage, from client: Client) {
        let request = message.request
        guard !client.hasJob else {
            refuse(
                client, request: request, errorNumber: 16,
                reason: "this connection is the channel of a job already")
            return
        }
        guard let file = client.attached.take() else {
            refuse(
                client, request: request, errorNumber: 9, reason: "no image came with the launch")
            return
        }
        do throws(LaunchImageError) {
            let image = try LaunchImage(file: file)
            // Ranks of this node are started from that very file.
            guard image.unpackedByteCount == nil else {
                throw .isPacked
            }
            client.image = image
            client.hasJob = true
            let launch = ClientLaunch(
                caller: client.caller, imageByteCount: UInt64(image.byteCount), request: request,
                message: message.body, mover: mover(of: message.body, by: client))
            sendControl(launch.frame(client: number(of: client)))
        } catch {
            // ENOEXEC
            refuse(client, request: request, errorNumber: 8, reason: error.description)
        }
    }

    private mutating func passOn(
        _ message: LocalMessage, of client: Client
    ) throws(LocalProtocolError) {
        try requireRoom()
        let bytes = message.bytes
        guard bytes.count <= Int(FrameKind.clientSays.bodyLimit) else {
            throw .tooLarge(byteCount: UInt32(bytes.count))
        }
        sendControl(
            FrameHeader.frame(
                FrameHeader(.clientSays, subject: number(of: client)), body: bytes))
    }

    /// Programs share the control link with this node's life: one that floods it is cut off before
    /// the link is.
    private func requireRoom() throws(LocalProtocolError) {
        guard host.waitingByteCount(on: control) <= Self.passingByteLimit else {
            throw .invalid("more is said than the master takes")
        }
    }

    /// What the master tells a program; nothing: it has nothing more to say.
    mutating func hear(_ body: [UInt8], number: UInt32) {
        guard let client = host.programs[ClientID(UInt64(number))] else { return }
        if body.isEmpty {
            client.hasJob = false
            close(client)
        } else {
            send(body, to: client)
        }
    }

    private static let passingByteLimit = 16 << 20

    private func number(of client: Client) -> UInt32 {
        UInt32(truncatingIfNeeded: client.id.rawValue)
    }
}
