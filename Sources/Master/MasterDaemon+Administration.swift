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
            let orderer = Orderer(
                place: .program(client.id), caller: client.caller, request: message.request)
            if let answer = try act(on: request, for: orderer) { send(answer, to: client) }
        } catch {
            send(refusal(error, request: message.request, of: client.caller), to: client)
        }
    }

    /// - Returns: the whole answer; nil: it comes when the node has answered.
    mutating func act(
        on request: NodeRequest, for orderer: Orderer
    ) throws(NodeRefusal) -> [UInt8]? {
        if case .control(let control, let node) = request {
            let order = try host.store.state.control(
                node, control, by: orderer.caller, effects: &host.effects)
            orderers[order] = orderer
            return nil
        }
        return LocalMessage.bytes(
            BPROC_LOCAL_NODE_DONE, request: orderer.request,
            body: try value(of: request, for: orderer.caller))
    }

    /// - Returns: the bytes that were asked for.
    private mutating func value(
        of request: NodeRequest, for caller: Caller
    ) throws(NodeRefusal) -> [UInt8] {
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
        case .control: return []
        }
    }

    /// A node has answered an order, or will not any more.
    mutating func tellNodeAnswer(_ refusal: NodeRefusal?, of order: UInt32) {
        guard let orderer = orderers.removeValue(forKey: order) else { return }
        tell(
            refusal.map { self.refusal($0, request: orderer.request, of: orderer.caller) }
                ?? LocalMessage.bytes(BPROC_LOCAL_NODE_DONE, request: orderer.request),
            to: orderer.place)
    }

    /// Sends a message to a program wherever it is, if it still is.
    mutating func tell(_ bytes: [UInt8], to place: AskerPlace) {
        switch place {
        case .program(let id):
            if let client = host.programs[id] { send(bytes, to: client) }
        case .remote(let place): host.pass(bytes, to: place)
        }
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
