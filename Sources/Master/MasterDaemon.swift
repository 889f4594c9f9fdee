import CLocalProtocol
import CSystem
package import Host
package import Link
package import Logging
package import MasterCore
import Relay
package import Ring
package import System
import Wire

/// The master: the slaves' control links, the relay links to the first nodes of each tree, the
/// programs of the front end, and the decisions of `MasterState` carried out.
package struct MasterDaemon: HostedDaemon, ~Copyable {
    let configuration: MasterConfiguration
    package var host: DaemonHost<LaunchStore>
    var streams: [UInt64: JobStreams] = [:]
    /// Programs on nodes whose jobs are under way.
    var clientOfPlace: [RemotePlace: Client] = [:]
    /// Exits of one round of events, sent to each client in one message.
    var exits: [ClientID: [UInt8]] = [:]
    var nodeTable = EncodedNodeTable()
    var watch = NodeWatch()

    package init(_ configuration: MasterConfiguration, logger: Logger) throws(SystemCallError) {
        self.configuration = configuration
        let now = Clock.monotonicNanoseconds
        var state = MasterState.Configuration(
            nodeCount: configuration.nodeCount,
            pingTimeoutNanoseconds: UInt64(configuration.pingTimeoutSeconds) * 1_000_000_000,
            coreCount: Int(bp_core_count()))
        state.address = NodeAddress(configuration.listenAddress)
        state.newcomers = configuration.newcomers
        host = try DaemonHost(
            HostConfiguration(
                listenAddress: configuration.listenAddress, socketName: configuration.socketPath,
                node: -1, ringEntryCount: 1024,
                socketBufferByteCount: configuration.socketBufferByteCount,
                forbidsRing: configuration.forbidsRing,
                warnsOfInsecurity: configuration.warnsOfInsecurity),
            store: LaunchStore(
                state: MasterState(configuration: state, firstLaunch: now, now: now)),
            logger: logger)
    }

    /// The port slaves connect to.
    package var port: UInt16 { host.address.port }

    // MARK: Rounds

    package var deadlineNanoseconds: UInt64 {
        min(host.store.state.deadlineNanoseconds, watch.deadlineNanoseconds)
    }

    package mutating func tick(now: UInt64) {
        host.store.state.tick(now: now, effects: &host.effects)
    }

    package mutating func willRun() {
        host.logger.info("master of \(configuration.nodeCount) nodes at \(host.address)")
    }

    package mutating func roundIsOver() {
        sendExits()
        tellOfNodes()
    }

    package mutating func didRun() {}

    package mutating func handle(_ completion: Completion) {
        preconditionFailure("unknown operation kind \(completion.tag.kind)")
    }

    // MARK: Links

    package mutating func handle(_ event: LinkEvent, now: UInt64) {
        switch event {
        case .accepted(let link, let hello, let peer):
            guard hello.role == .slave else {
                host.refuse(link, reason: "the master takes slaves here, not relays")
                return
            }
            host.store.state.receiveHello(
                hello, peer: peer, from: link, now: now, effects: &host.effects)
        case .frame(let link, let header, let body):
            if host.isPeer(link) {
                receiveRelay(header, body: body, from: link, now: now)
            } else {
                receiveControl(header, body: body, from: link, now: now)
            }
        case .lost(let link, let reason):
            if host.isPeer(link) {
                host.forgetPeer(link)
                host.store.state.relayLinkIsLost(
                    link, reason: reason, now: now, effects: &host.effects)
            } else {
                watch.forget(link)
                host.store.state.controlIsLost(
                    link, reason: reason, now: now, effects: &host.effects)
            }
        case .ready, .failed, .chunkBegins, .chunk, .acceptingPauses: break
        }
    }

    private mutating func receiveRelay(
        _ header: FrameHeader, body: [UInt8], from link: LinkID, now: UInt64
    ) {
        if header.kind == .refusal {
            let sentence = (try? Refusal(decoding: body))?.sentence ?? "no reason given"
            host.logger.warning("a node refuses the master's relay link: \(sentence)")
            return
        }
        host.store.state.receiveRelay(
            header, body: body, from: link, now: now, effects: &host.effects)
    }

    private mutating func receiveControl(
        _ header: FrameHeader, body: [UInt8], from link: LinkID, now: UInt64
    ) {
        do throws(WireError) {
            switch header.kind {
            case .output: output(header, body: body, from: link)
            case .inputCredit: try inputCredit(header, body: body, from: link)
            case .clientLaunch:
                launch(
                    try ClientLaunch(decoding: body),
                    of: RemotePlace(link: link, number: header.subject))
            case .clientSays:
                hear(body, from: RemotePlace(link: link, number: header.subject))
            case .nodesRequest: sendNodes(to: link)
            case .nodesWatch:
                if host.store.state.nodes.node(of: link) != nil { watch.begin(link) }
            case .clientRequest:
                receive(
                    try ClientRequest(decoding: body),
                    of: RemotePlace(link: link, number: header.subject))
            default:
                try host.store.state.receiveControl(
                    header, body: body, from: link, now: now, effects: &host.effects)
            }
        } catch {
            let reason = "\(error)"
            host.refuse(link, reason: reason)
            host.store.state.controlIsLost(
                link, reason: reason, now: now, effects: &host.effects)
        }
    }

    // MARK: Effects

    package mutating func carryOut(_ effect: MasterEffect) {
        switch effect {
        case .relay(let launch, let effect): host.carryOut(effect, launch: launch)
        case .control(let link, let frame): host.send(frame, on: link)
        case .refuse(let link, let reason):
            host.logger.warning("closing \(link): \(reason)")
            host.refuse(link, reason: reason)
        case .failed(let client, let failure): tellFailure(failure, to: client)
        case .launched(let client, let report): tellLaunched(report, to: client)
        case .progress(let client, let progress): tellProgress(progress, to: client)
        case .exited(let client, let exit): noteExit(exit, of: client)
        case .closeStorage(let launch): host.store.entries[launch] = nil
        case .forget(let launch): streams[launch] = nil
        case .nodeIsGone(let node): forgetPrograms(on: node)
        case .nodeAnswered(let client, let request, let refusal):
            tellNodeAnswer(refusal, request: request, to: client)
        case .note(let text): host.logger.info("\(text)")
        }
    }
}
