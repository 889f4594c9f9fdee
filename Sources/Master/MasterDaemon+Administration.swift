import CLocalProtocol
import LocalProtocol
import Host
import DaemonLog
import Logging
import MasterCore
import NodeSpec
import System
import Wire

// Requests about single nodes, from programs of the front end and from those on nodes.
extension MasterDaemon {
    /// The table of nodes, as the local protocol has it.
    var encodedNodes: [UInt8] { mutating get { nodeTable.bytes(of: host.store.state.nodes) } }

    package var watchedNodes: [UInt8]? {
        mutating get { nodeTable.watchedBytes(of: host.store.state.nodes) }
    }

    package mutating func watchBegins() {}

    /// Tells who watches the table of nodes that it has changed.
    mutating func tellOfNodes() {
        let revision = host.store.state.nodes.revision
        guard watch.isDue(revision: revision, now: Clock.monotonicNanoseconds) else { return }
        tellWatchers()
        let frame = FrameHeader.frame(FrameHeader(.nodesChanged))
        for link in watch.takeLinks() { host.send(frame, on: link) }
    }

    mutating func nodeRequest(
        _ message: LocalMessage, from client: Client
    ) throws(LocalProtocolError) {
        let request = try NodeRequest(decoding: message.body)
        do throws(NodeRefusal) {
            if case .control(let control, let node) = request {
                try host.store.state.control(
                    node, control, by: client.caller, of: client.id, request: message.request,
                    effects: &host.effects)
                return
            }
            let value = try act(on: request, of: client.caller)
            send(
                LocalMessage.bytes(
                    BPROC_LOCAL_NODE_DONE, request: message.request, body: value), to: client)
        } catch {
            send(refusal(error, request: message.request, of: client.caller), to: client)
        }
    }

    /// - Returns: the bytes that were asked for.
    mutating func act(on request: NodeRequest, of caller: Caller) throws(NodeRefusal) -> [UInt8] {
        switch request {
        case .attribute(let name, let node):
            return try host.store.state.nodes.attribute(name, of: node)
        case .change(let change, let node):
            try host.store.state.change(
                node, change, by: caller, now: Clock.monotonicNanoseconds,
                effects: &host.effects)
            return []
        case .groups: return Array(configuration.groups.text.utf8)
        case .libraries: return host.store.state.libraries.text
        case .changeLibraries(let change):
            try host.store.state.libraries.change(change, by: caller)
            return []
        case .metrics: return Array(metricsText.utf8)
        case .control:
            throw NodeRefusal(
                FailureCode.notImplemented, "nodes are controlled from the front end")
        }
    }

    /// A node has answered an order, or will not any more.
    mutating func tellNodeAnswer(_ refusal: NodeRefusal?, request: UInt32, to id: ClientID) {
        guard let client = host.programs[id] else { return }
        send(
            refusal.map { self.refusal($0, request: request, of: client.caller) }
                ?? LocalMessage.bytes(BPROC_LOCAL_NODE_DONE, request: request), to: client)
    }

    func refusal(_ refusal: NodeRefusal, request: UInt32, of caller: Caller) -> [UInt8] {
        // Who asks for an attribute that is not there has done nothing that belongs in a log.
        if refusal.errorNumber == FailureCode.notPermitted {
            host.log.node.warning("user \(caller.user): \(refusal.sentence)")
        }
        return LocalMessage.refusal(
            request: request, errorNumber: refusal.errorNumber, reason: refusal.sentence)
    }
}
