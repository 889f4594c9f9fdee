import CLocalProtocol
import CSystem
import Host
import LocalProtocol
import ProcessImage
import Ring
import SlaveCore
import System
import Wire

/// A rank whose process is to go on in its ghost, which is on this machine: the server of its
/// ghosts fetches the image, and says what became of it.
final class Arrival {
    let rank: RelaySubtree.Rank
    let deadlineNanoseconds: UInt64
    /// The server that has fetched the image.
    private(set) var client: ClientID?
    private var ghost: OwnedDescriptor?
    private var ghostNumber: Int32 = -1
    /// The ghost has been let go: it ends where nobody says that it has become the process.
    var isGoing = false

    init(rank: RelaySubtree.Rank, deadlineNanoseconds: UInt64) {
        self.rank = rank
        self.deadlineNanoseconds = deadlineNanoseconds
    }

    func isFetched(by client: ClientID, for ghost: consuming OwnedDescriptor) {
        self.client = client
        ghostNumber = ghost.number
        self.ghost = consume ghost
    }

    func endGhost() {
        if isGoing { _ = bp_child_signal(ghostNumber, 9) }
    }
}

// Processes that come back to where their ghosts are.
extension SlaveDaemon {
    /// A ghost that is stopped does not come before it goes on.
    private static let arrivalNanoseconds: UInt64 = 600_000_000_000

    /// The image is here: has its ghost told.
    mutating func awaitGhost(launch: UInt64, rank: RelaySubtree.Rank) {
        arrivals[launch] = Arrival(
            rank: rank,
            deadlineNanoseconds: Clock.monotonicNanoseconds + Self.arrivalNanoseconds)
        sendControl(
            FrameHeader.frame(
                FrameHeader(.arrival, launch: launch, subject: rank.rank),
                body: Array(configuration.socketName.utf8)))
    }

    /// What the server of its ghosts asks, and tells.
    mutating func hearOfArrival(
        _ message: LocalMessage, from client: Client
    ) throws(LocalProtocolError) {
        if message.kind == BPROC_LOCAL_COLLECT {
            guard let raw = message.load(bproc_local_collect.self) else {
                throw .tooSmall("request for an image")
            }
            collect(raw.launch, request: message.request, client)
            return
        }
        if message.kind == BPROC_LOCAL_LEAVES {
            guard let launch = launch(fetchedBy: client) else {
                // ESRCH
                refuse(
                    client, request: message.request, errorNumber: 3,
                    reason: "the launch by which the process comes is over")
                return
            }
            arrivals[launch]?.isGoing = true
            acknowledge(message, to: client)
            return
        }
        guard let raw = message.load(bproc_local_arrived.self) else {
            throw .tooSmall("word of an arrival")
        }
        guard let launch = launch(fetchedBy: client) else {
            // ESRCH
            refuse(
                client, request: message.request, errorNumber: 3,
                reason: "the launch by which the process comes is over")
            return
        }
        acknowledge(message, to: client)
        if raw.error == 0, arrivals[launch]?.isGoing == true {
            hasArrived(launch)
        } else {
            arrivalFailed(
                launch, errorNumber: raw.error, "its ghost could not become the process")
        }
    }

    private mutating func acknowledge(_ message: LocalMessage, to client: Client) {
        send(
            LocalMessage.bytes(BPROC_LOCAL_NODE_DONE, request: message.request), to: client)
    }

    private func launch(fetchedBy client: Client) -> UInt64? {
        arrivals.first { $0.value.client == client.id }?.key
    }

    /// Only who traces the process that the launch is of, which is the user's, may have the image:
    /// so says the kernel.
    private mutating func collect(_ launch: UInt64, request: UInt32, _ client: Client) {
        guard let arrival = arrivals[launch], arrival.client == nil,
            self.launch(fetchedBy: client) == nil, let image = host.store.images[launch],
            client.caller.user == image.order.user,
            bp_process_user(arrival.rank.process) == Int(image.order.user),
            let processes = host.programs.processesNumber,
            bp_process_tracer(processes, arrival.rank.process) == Int(client.process)
        else {
            // ESRCH
            refuse(
                client, request: request, errorNumber: 3,
                reason: "no process of user \(client.caller.user) arrives by launch \(launch)")
            return
        }
        do throws(SystemCallError) {
            // Traced by the one that asks, it is not reaped before it is opened.
            let ghost = try check("open the ghost", bp_child_open(arrival.rank.process))
            let descriptor = OwnedDescriptor(adopting: Int32(ghost))
            let file = try image.sealedCopy()
            arrival.isFetched(by: client.id, for: descriptor)
            let answer = LocalMessage.bytes(
                BPROC_LOCAL_COLLECTED, request: request, body: image.order.collected)
            host.programs.attach(file, to: client)
            send(answer, to: client)
        } catch {
            refuse(
                client, request: request, errorNumber: error.errorNumber,
                reason: error.description)
            arrivalFailed(launch, errorNumber: error.errorNumber, error.description)
        }
    }

    private mutating func hasArrived(_ launch: UInt64) {
        guard let arrival = arrivals.removeValue(forKey: launch) else { return }
        let now = Clock.monotonicNanoseconds
        let complete = host.store.held(launch)?.completeNanoseconds ?? now
        host.store.state.rankIsPlaced(
            launch: launch, rank: arrival.rank.rank, undumpNanoseconds: now - min(now, complete),
            now: now, effects: &host.effects)
        // It is whose child it was, and no business of this slave any more.
        host.store.state.rankExited(
            ExitRecord(
                launch: launch, rank: arrival.rank.rank, waitStatus: 0, usage: ResourceUsage()),
            effects: &host.effects)
    }

    private mutating func arrivalFailed(_ launch: UInt64, errorNumber: Int32, _ reason: String) {
        guard let arrival = arrivals.removeValue(forKey: launch) else { return }
        host.store.state.rankFailed(
            launch: launch, rank: arrival.rank.rank, stage: .restore, errorNumber: errorNumber,
            reason: reason, now: Clock.monotonicNanoseconds, effects: &host.effects)
    }

    /// The server of the ghosts is gone without a word. Its ghosts end with it, but for the one
    /// that it has let go.
    mutating func arrivalIsLost(with client: Client) {
        guard let launch = launch(fetchedBy: client) else { return }
        arrivals[launch]?.endGhost()
        arrivalFailed(launch, errorNumber: 3, "the server of its ghosts is gone")
    }

    /// It is to end before it has arrived.
    mutating func endArrival(launch: UInt64, rank: UInt32) {
        guard arrivals[launch]?.rank.rank == rank else { return }
        arrivals[launch]?.endGhost()
        arrivalFailed(launch, errorNumber: FailureCode.canceled, "it has been ended")
    }

    mutating func endOverdueArrivals(now: UInt64) {
        for (launch, arrival) in arrivals
        where now >= arrival.deadlineNanoseconds && !arrival.isGoing {
            arrivalFailed(
                launch, errorNumber: FailureCode.timedOut, "its ghost has not fetched the image")
        }
    }
}

extension LaunchOrder {
    /// What a slave sets for a process, for a ghost that becomes it.
    fileprivate var collected: [UInt8] {
        let directory = Array(directory.utf8)
        let limits = limits.prefix(16)
        var bytes = LocalMessage.bytes(
            of: bproc_local_collected(
                umask: umask, nice: nice, directory_bytes: UInt32(directory.count),
                limit_count: UInt32(limits.count)))
        for limit in limits {
            bytes += LocalMessage.bytes(of: limit.soft) + LocalMessage.bytes(of: limit.hard)
        }
        return bytes + directory
    }
}
