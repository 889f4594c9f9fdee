import CLocalProtocol
import Host
import Link
import LocalProtocol
import DaemonLog
import Logging
import MasterCore
import Relay
import Wire

// Programs on nodes, whose slaves pass on what they say: jobs as those of the front end, only that
// the image is on the node and the node is the root of the tree.
extension MasterDaemon {
    mutating func sendNodes(to link: LinkID) {
        guard host.store.state.nodes.node(of: link) != nil else { return }
        watch.hasAsked(link)
        host.send(FrameHeader.frame(FrameHeader(.nodes), body: encodedNodes), on: link)
    }

    /// A program on a node asks for something about nodes or processes.
    mutating func receive(_ request: ClientRequest, of place: RemotePlace) {
        guard let node = host.store.state.nodes.node(of: place.link) else { return }
        do throws(NodeRefusal) {
            if let answer = try act(on: request, from: node, at: place) {
                host.pass(answer, to: place)
            }
        } catch {
            host.pass(refusal(error, request: request.request, of: request.caller), to: place)
        }
    }

    /// - Returns: the whole answer; nil: it comes later.
    private mutating func act(
        on request: ClientRequest, from node: Int32, at place: RemotePlace
    ) throws(NodeRefusal) -> [UInt8]? {
        let parsed: NodeRequest?
        let processRequest: ProcessRequest?
        do throws(LocalProtocolError) {
            let kind = bproc_local_kind(rawValue: UInt32(request.kind))
            processRequest = try ProcessRequest(kind: kind, body: request.message)
            parsed =
                kind == BPROC_LOCAL_NODE_REQUEST
                ? try NodeRequest(decoding: request.message) : nil
        } catch {
            throw NodeRefusal(FailureCode.protocolError, error.description)
        }
        let isReading = parsed?.isReading ?? processRequest?.isReading ?? false
        if !isReading, let reason = host.store.state.refusal(of: request.caller, on: node) {
            throw NodeRefusal(FailureCode.notPermitted, reason)
        }
        if let processRequest {
            let asker = Asker(place: .remote(place), request: request.request)
            return try act(on: processRequest, for: asker, caller: request.caller)
        }
        guard let parsed else {
            throw NodeRefusal(
                FailureCode.protocolError, "a node passes on a message of kind \(request.kind)")
        }
        let orderer = Orderer(
            place: .remote(place), caller: request.caller, request: request.request)
        return try act(on: parsed, for: orderer)
    }

    mutating func launch(_ launch: ClientLaunch, of place: RemotePlace) {
        guard let node = host.store.state.nodes.node(of: place.link), clientOfPlace[place] == nil,
            !keepMove(launch, of: place)
        else { return }
        let client = host.programs.insert(caller: launch.caller, place: place)
        clientOfPlace[place] = client
        if let reason = host.store.state.refusal(of: launch.caller, on: node) {
            // EPERM
            refuse(client, request: launch.request, errorNumber: 1, reason: reason)
            close(client)
            return
        }
        do throws(LocalProtocolError) {
            _ = try begin(
                launch.message, request: launch.request, of: client,
                origin: LaunchOrigin(node: node, client: place.number), mover: launch.mover,
                imageByteCount: launch.imageByteCount)
        } catch {
            refuse(
                client, request: launch.request, errorNumber: error.errorNumber,
                reason: error.description)
            close(client)
        }
    }

    /// A message of a program on a node; nothing: it is gone.
    mutating func hear(_ body: [UInt8], from place: RemotePlace) {
        guard let client = clientOfPlace[place] else {
            forgetMove(of: place)
            return
        }
        guard !body.isEmpty else {
            close(client)
            return
        }
        do throws(LocalProtocolError) {
            var rest = body
            guard let message = try LocalMessage.take(from: &rest), rest.isEmpty else {
                throw .invalid("a node passes on what is not one message")
            }
            guard message.kind != BPROC_LOCAL_LAUNCH else {
                throw .invalid("a node passes on a launch without its image")
            }
            try act(on: message, from: client)
        } catch {
            refuse(client, request: 0, errorNumber: 71, reason: error.description)
            close(client)
        }
    }

    /// The state has ended their jobs already.
    mutating func forgetPrograms(on node: Int32) {
        for (place, client) in clientOfPlace
        where host.store.state.nodes.node(of: place.link) == nil {
            host.log.launch.info("node \(node): the job of a program there has ended")
            close(client)
        }
    }
}
