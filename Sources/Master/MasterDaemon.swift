import CLocalProtocol
import CSystem
package import Host
package import Link
package import DaemonLog
import Logging
package import MasterCore
import NodeSpec
import Relay
package import Ring
package import System
import Wire

/// The master: the slaves' control links, the relay links to the first nodes of each tree, the
/// programs of the front end, and the decisions of `MasterState` carried out.
package struct MasterDaemon: HostedDaemon, ~Copyable {
    var configuration: MasterConfiguration
    private let reread: () throws(ReloadError) -> MasterConfiguration
    package var host: DaemonHost<LaunchStore>
    var streams: [UInt64: JobStreams] = [:]
    /// What processes wait with that have moved, until the place that they came from is empty; by
    /// their launches.
    var pendingMoves: [UInt64: PendingMove] = [:]
    /// Programs on nodes whose jobs are under way.
    var clientOfPlace: [RemotePlace: Client] = [:]
    /// Exits of one round of events, sent to each client in one message.
    var exits: [ClientID: [UInt8]] = [:]
    /// Who waits for the answers to a question to nodes, by its number.
    var askers: [UInt32: Asker] = [:]
    /// Who waits for the answer to an order to a node, by its number.
    var orderers: [UInt32: Orderer] = [:]
    /// Who waits for the books of the servers of ghosts.
    var ghostBooks = GhostBooks()
    var nodeTable = EncodedNodeTable()
    var watch = NodeWatch()
    /// Hooks that run, by the numbers of their runs.
    var hooks: [UInt32: RunningHook] = [:]
    /// nil: metrics are not served.
    let metricsServer: MetricsServer?
    /// Since 1970.
    let startSeconds = Clock.secondsSince1970

    /// Kinds of the daemon's own ring operations.
    enum OperationKind {
        static let hook: UInt8 = 16
    }

    /// - Parameter reread: the configuration as it is when the master is told to read it again.
    package init(
        _ configuration: MasterConfiguration, log: DaemonLog,
        reread: @escaping () throws(ReloadError) -> MasterConfiguration
    ) throws(SystemCallError) {
        self.configuration = configuration
        self.reread = reread
        var server: MetricsServer?
        host = try Self.open(configuration, log: log, metricsServer: &server)
        metricsServer = server
    }

    /// Everything that can fail, in one place: a half-made daemon cannot be given up in two.
    private static func open(
        _ configuration: MasterConfiguration, log: DaemonLog, metricsServer: inout MetricsServer?
    ) throws(SystemCallError) -> DaemonHost<LaunchStore> {
        if let address = configuration.metricsAddress {
            metricsServer = try MetricsServer(address: address)
        }
        let now = Clock.monotonicNanoseconds
        return try DaemonHost(
            HostConfiguration(
                listenAddress: configuration.listenAddress, socketName: configuration.socketPath,
                node: -1, ringEntryCount: 1024,
                socketBufferByteCount: configuration.socketBufferByteCount,
                forbidsRing: configuration.forbidsRing,
                warnsOfInsecurity: configuration.warnsOfInsecurity),
            store: LaunchStore(
                state: MasterState(
                    configuration: stateConfiguration(configuration), firstLaunch: now,
                    identity: UInt64.random(in: 1 ... .max),
                    cookieSeed: UInt64.random(in: 0 ... .max), now: now)),
            log: log)
    }

    private static func stateConfiguration(
        _ configuration: MasterConfiguration
    ) -> MasterState.Configuration {
        var state = MasterState.Configuration(
            nodes: configuration.nodes,
            pingTimeoutNanoseconds: UInt64(configuration.pingTimeoutSeconds) * 1_000_000_000,
            coreCount: Int(bp_core_count()))
        state.graceNanoseconds = UInt64(configuration.graceSeconds) * 1_000_000_000
        state.addresses = configuration.addresses
        state.address = NodeAddress(configuration.listenAddress)
        state.newcomers = configuration.newcomers
        if configuration.nodeUpHook != nil { state.hooks.kinds.insert(.nodeUp) }
        if configuration.nodeDownHook != nil { state.hooks.kinds.insert(.nodeDown) }
        state.hooks.runningCount = configuration.hookCountLimit
        state.hooks.timeoutNanoseconds = UInt64(configuration.hookTimeoutSeconds) * 1_000_000_000
        return state
    }

    /// Takes the configuration over as it is now, or says why not and goes on with the one it has.
    package mutating func reload() {
        let begin = Clock.monotonicNanoseconds
        let changed: MasterConfiguration
        do throws(ReloadError) {
            changed = try reread()
        } catch {
            host.log.daemon.error("the configuration stays as it is: \(error.sentence)")
            return
        }
        for name in configuration.lastingOptions(in: changed) {
            host.log.daemon.warning("--\(name) takes effect when the master is started again")
        }
        host.store.state.reconfigure(
            Self.stateConfiguration(changed), now: begin, effects: &host.effects)
        configuration = changed
        host.log.set(changed.logLevels)
        let microseconds = (Clock.monotonicNanoseconds - begin) / 1000
        host.log.daemon.notice(
            """
            the configuration has been read again: \(changed.nodes.count) nodes, in \
            \(microseconds) µs
            """)
    }

    /// The port slaves connect to.
    package var port: UInt16 { host.address.port }

    // MARK: Rounds

    package var deadlineNanoseconds: UInt64 {
        min(
            host.store.state.deadlineNanoseconds, host.store.retired.deadlineNanoseconds,
            watch.deadlineNanoseconds, ghostBooks.deadlineNanoseconds,
            metricsServer?.deadlineNanoseconds ?? .max)
    }

    package mutating func tick(now: UInt64) {
        host.store.state.tick(now: now, effects: &host.effects)
        host.store.retired.tick(now: now)
        metricsServer?.tick(now: now, ring: &host.ring)
        tellOfBooks(now: now)
    }

    package mutating func willRun() {
        host.log.daemon.info("master of \(configuration.nodes.count) nodes at \(host.address)")
        guard let metricsServer else { return }
        metricsServer.start(on: &host.ring)
        host.log.daemon.info("metrics at http://\(metricsServer.address)/metrics")
    }

    package mutating func roundIsOver() {
        sendExits()
        tellOfNodes()
    }

    /// An end that is meant is no cut connection, after which slaves would wait.
    package mutating func didRun() {
        guard configuration.graceSeconds > 0 else { return }
        for link in host.store.state.nodes.links { host.refuse(link, reason: "the master ends") }
    }

    package mutating func handle(_ completion: Completion) {
        switch completion.tag.kind {
        case OperationKind.hook: hookIsReady(completion.tag.slot)
        case MetricsServer.OperationKind.all: serveMetrics(completion)
        default: preconditionFailure("unknown operation kind \(completion.tag.kind)")
        }
    }

    private func logger(for subject: NoteSubject) -> Logger {
        switch subject {
        case .node: host.log.node
        case .hook: host.log.hook
        }
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
                host.store.state.controlIsCut(
                    link, reason: reason, now: now, effects: &host.effects)
            }
        case .ready, .failed, .chunkBegins, .chunk, .acceptingPauses: break
        }
    }

    /// A slave goes on by another connection.
    private mutating func resume(
        _ link: LinkID, by connection: LinkID, after receivedCount: UInt64, _ welcome: Welcome
    ) {
        guard !host.resume(link, by: connection, after: receivedCount, welcome: welcome) else {
            return
        }
        let reason = "what was said meanwhile is not known any more"
        host.refuse(connection, reason: reason)
        host.store.state.controlIsLost(
            link, reason: reason, now: Clock.monotonicNanoseconds, effects: &host.effects)
    }

    private mutating func receiveRelay(
        _ header: FrameHeader, body: [UInt8], from link: LinkID, now: UInt64
    ) {
        if header.kind == .refusal {
            let sentence = (try? Refusal(decoding: body))?.sentence ?? "no reason given"
            host.log.relay.warning("a node refuses the master's relay link: \(sentence)")
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
            case .kept:
                host.store.state.receiveKept(
                    try KeptLaunch(header, decoding: body), byteCount: body.count,
                    isLast: header.flags.contains(.final), from: link, now: now,
                    isTaken: { bp_process_user($0) >= 0 }, effects: &host.effects)
            case .output: output(header, body: body, from: link)
            case .arrival: arrival(header, body: body, from: link)
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
        case .welcome(let link, let welcome):
            host.beginSession(link)
            host.send(welcome.frame, on: link)
        case .resume(let link, let connection, let receivedCount, let welcome):
            resume(link, by: connection, after: receivedCount, welcome)
        case .cut(let link): host.cut(link)
        case .refuse(let link, let reason):
            host.log.link.warning("closing \(link): \(reason)")
            host.refuse(link, reason: reason)
        case .failed(let client, let failure): tellFailure(failure, to: client)
        case .launched(let client, let report):
            tellLaunched(report, to: client)
            passArrivals(of: report.launch)
        case .progress(let client, let progress): tellProgress(progress, to: client)
        case .exited(let client, let exit): noteExit(exit, of: client)
        case .stopped(let client, let record): tellStop(record, to: client)
        case .left(let client): tellLeft(client)
        case .signalHere(let process, let user, let signal):
            if bp_process_user(process) == Int(user) { _ = bp_kill(process, signal) }
        case .hasArrived(let launch, let listener): passOnArrival(launch, to: listener)
        case .inputHasEnded(let client, let rank):
            if let client = host.programs[client] { endInput(of: client, rank: rank) }
        case .closeStorage(let launch):
            host.store.closeImage(of: launch, now: Clock.monotonicNanoseconds)
        case .forget(let launch):
            streams[launch] = nil
            pendingMoves[launch] = nil
        case .nodeIsGone(let node, let link):
            host.endSession(link)
            watch.forget(link)
            forgetPrograms(on: node)
        case .nodeAnswered(let order, let refusal): tellNodeAnswer(refusal, of: order)
        case .beginHook(let run): begin(run)
        case .endHook(let run): end(run)
        case .nodeAnswers(let question, let node, let answer):
            pass(answer, of: node, toAskerOf: question)
        case .questionIsOver(let question): endQuestion(question)
        case .note(let text, let subject): logger(for: subject).info("\(text)")
        case .warning(let text, let subject): logger(for: subject).warning("\(text)")
        }
    }
}
