package import CLocalProtocol
package import Link
package import LocalProtocol
import DaemonLog
import Logging
package import Relay
package import Ring
import System
import Wire

/// A daemon on its host. It says what events mean and carries effects out; the loop, the links and
/// the local programs are the same for all.
package protocol HostedDaemon: ~Copyable {
    associatedtype Store: RelayStore
    var host: DaemonHost<Store> { get set }

    /// When `tick` has something to do at the earliest, in CLOCK_MONOTONIC nanoseconds; the
    /// greatest number: never.
    var deadlineNanoseconds: UInt64 { get }
    mutating func tick(now: UInt64)

    /// The loop is about to begin.
    mutating func willRun()
    /// Everything that one completion brought about has been carried out.
    mutating func roundIsOver()
    mutating func didRun()
    /// SIGHUP has come: read the configuration again.
    mutating func reload()

    mutating func carryOut(_ effect: Store.State.Effect)
    /// What happened on a link: relay links that this daemon asked for are ready or have failed
    /// without it.
    mutating func handle(_ event: LinkEvent, now: UInt64)
    /// An operation of the daemon's own has completed.
    mutating func handle(_ completion: Completion)

    /// Nodes of the cluster, for programs that say hello.
    var nodeCount: Int { get }
    /// What it costs to send an image, for capture helpers.
    var network: bproc_local_network { get }
    /// Why no program can be served now; nil: they can.
    var programRefusal: String? { get }
    /// A message of a program that has said hello, other than a request for the helper.
    mutating func act(on message: LocalMessage, from client: Client) throws(LocalProtocolError)
    /// The table of nodes as programs that watch it have it; nil: not known here now.
    var watchedNodes: [UInt8]? { mutating get }
    /// How long processes wait for another daemon in the place of this one; 0: they end with it.
    var graceSeconds: UInt32 { get }
    /// A program has begun to watch the table of nodes.
    mutating func watchBegins()
    /// The program's connection has ended.
    mutating func clientIsGone(_ client: Client)
}

extension HostedDaemon where Self: ~Copyable {
    /// Runs until it is told to end.
    /// - Returns: the exit code.
    package mutating func run() -> Int32 {
        host.start()
        willRun()
        settle()
        while host.exitCode == nil {
            do throws(SystemCallError) {
                try host.ring.waitForCompletions(
                    untilNanoseconds: host.deadline(deadlineNanoseconds))
            } catch {
                host.log.daemon.critical("\(error)")
                return 70
            }
            while let completion = host.ring.nextCompletion() {
                dispatch(completion)
                settle()
            }
            let now = Clock.monotonicNanoseconds
            host.tick(now: now)
            if now >= deadlineNanoseconds {
                tick(now: now)
                settle()
            }
        }
        didRun()
        host.programs.removeSocket()
        return host.exitCode ?? 0
    }

    private mutating func dispatch(_ completion: Completion) {
        switch completion.tag.kind {
        case LinkTable.OperationKind.range: host.handleLinks(completion)
        case HostOperation.signal:
            host.takeSignal()
            if host.wantsReload {
                host.wantsReload = false
                reload()
            }
        case HostOperation.programAccept: host.acceptProgram(completion)
        case HostOperation.programReadable:
            if let client = host.programs.client(completion.tag) { receive(from: client) }
        case HostOperation.programWritable:
            if let client = host.programs.client(completion.tag) {
                client.isPollingWritable = false
                if !host.flush(client) {
                    close(client)
                } else if client.isOutdated {
                    sendTable(to: client)
                }
            }
        default: handle(completion)
        }
    }

    /// Carries out effects and acts on link events until neither brings more.
    package mutating func settle() {
        while true {
            if !host.effects.isEmpty {
                carryOutEffects()
                continue
            }
            let events = host.takeEvents()
            if !events.isEmpty {
                for event in events { dispatch(event) }
                continue
            }
            guard host.resumeLinks() else { break }
        }
        roundIsOver()
    }

    /// New effects join behind: the list is taken, so that it is never walked while it grows.
    package mutating func carryOutEffects() {
        let taken = host.takeEffects()
        for effect in taken { carryOut(effect) }
        host.giveBack(consume taken)
    }

    private mutating func dispatch(_ event: LinkEvent) {
        switch event {
        case .ready(let link): host.peerIsReady(link)
        case .failed(let link, let errorNumber, let reason) where host.isPeer(link):
            host.peerFailed(link, errorNumber: errorNumber, reason: reason)
        case .acceptingPauses(let errorNumber): host.acceptingPauses(errorNumber: errorNumber)
        case .frame(let connection, let header, let body):
            receive(header, body: body, by: connection)
        case .lost(let connection, let reason):
            guard let link = host.sessions.connectionIsLost(connection) else { break }
            handle(.lost(link, reason: reason), now: Clock.monotonicNanoseconds)
        default: handle(event, now: Clock.monotonicNanoseconds)
        }
    }

    private mutating func receive(_ header: FrameHeader, body: [UInt8], by connection: LinkID) {
        let now = Clock.monotonicNanoseconds
        switch host.receive(header, by: connection) {
        case .act(let link): handle(.frame(link, header, body: body), now: now)
        case .drop: break
        case .broken(let link, let reason):
            host.refuse(link, reason: reason)
            handle(.lost(link, reason: reason), now: now)
        }
    }
}
