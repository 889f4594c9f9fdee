package import CLocalProtocol
import CSystem
package import Host
package import LocalProtocol
import DaemonLog
import Logging
import MasterCore
import System
import Wire

// Programs: requests, job channels.
extension MasterDaemon {
    package var nodeCount: Int { host.store.state.nodes.count }
    package var programRefusal: String? { nil }
    package var graceSeconds: UInt32 { UInt32(configuration.graceSeconds) }

    package mutating func clientIsGone(_ client: Client) {
        if let place = client.place { clientOfPlace[place] = nil }
        forgetQuestions(of: client)
        ghostBooks.forget(client.id)
        tellOfBooks(now: Clock.monotonicNanoseconds)
        let successor = endWatch(of: client)
        host.store.state.clientIsGone(
            client.id, successor: successor, now: Clock.monotonicNanoseconds,
            effects: &host.effects)
    }

    // MARK: Requests

    package mutating func act(
        on message: LocalMessage, from client: Client
    ) throws(LocalProtocolError) {
        switch message.kind {
        case BPROC_LOCAL_NODES_REQUEST:
            answer(client, request: message.request, nodes: encodedNodes)
        case BPROC_LOCAL_NODE_REQUEST: try nodeRequest(message, from: client)
        case BPROC_LOCAL_LAUNCH: launch(message, from: client)
        case BPROC_LOCAL_INPUT: try input(message, from: client)
        case BPROC_LOCAL_SIGNAL:
            guard let raw = message.load(bproc_local_signal.self) else {
                throw .tooSmall("signal message")
            }
            guard let launch = client.launch, (1...64).contains(raw.signal) else { return }
            host.store.state.signal(
                launch, rank: raw.rank, RankSignal(raw.signal, reach: .group),
                effects: &host.effects)
        case BPROC_LOCAL_JOB_WATCH: watchJob(message.request, of: client)
        case BPROC_LOCAL_RANK_SIGNAL: try rankSignal(message, from: client)
        case BPROC_LOCAL_OUTPUT_CREDIT: try outputCredit(message, from: client)
        case BPROC_LOCAL_OUTPUT_CLOSED: try outputClosed(message, from: client)
        case BPROC_LOCAL_KEEP:
            if let launch = client.launch { host.store.state.keep(launch) }
        default:
            if try processRequest(message, from: client) { break }
            if try bookRequest(message, from: client) { break }
            if try hearGhosts(message, from: client) { break }
            throw .invalid("unknown message kind \(message.header.kind)")
        }
    }

    private mutating func rankSignal(
        _ message: LocalMessage, from client: Client
    ) throws(LocalProtocolError) {
        guard let raw = message.load(bproc_local_rank_signal.self) else {
            throw .tooSmall("signal message")
        }
        guard let reach = SignalReach(rawValue: UInt16(clamping: raw.reach)) else {
            throw .invalid("a signal with reach \(raw.reach)")
        }
        guard let launch = client.launch, (1...64).contains(raw.signal) else { return }
        host.store.state.signal(
            launch, rank: raw.rank,
            RankSignal(raw.signal, reach: reach, sequence: raw.sequence), effects: &host.effects)
    }

    /// The network of the nodes that are up.
    package var network: bproc_local_network {
        let network = host.store.state.networkOfNodesUp
        return LocalNetwork.message(nodeCount: network.nodeCount, costs: network.costs)
    }

    mutating func launch(_ message: LocalMessage, from client: Client) {
        guard !keepMove(message, of: client) else { return }
        let request = message.request
        guard client.launch == nil else {
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
        let image: LaunchImage
        do throws(LaunchImageError) {
            image = try LaunchImage(file: file)
        } catch {
            // ENOEXEC
            refuse(client, request: request, errorNumber: 8, reason: error.description)
            return
        }
        do throws(LocalProtocolError) {
            let launch = try begin(
                message.body, request: request, of: client, origin: nil,
                imageByteCount: UInt64(image.byteCount),
                unpackedByteCount: UInt64(image.unpackedByteCount ?? 0))
            if let order = host.store.state.order(of: launch) {
                host.store.entries[launch] = LaunchStore.Entry(image: image, order: order)
            }
        } catch {
            refuse(
                client, request: request, errorNumber: error.errorNumber,
                reason: error.description)
        }
    }

    /// Reads a launch message and begins the launch.
    mutating func begin(
        _ message: [UInt8], request: UInt32, of client: Client, origin: LaunchOrigin?,
        mover: ClientLaunch.Mover? = nil, imageByteCount: UInt64, unpackedByteCount: UInt64 = 0
    ) throws(LocalProtocolError) -> UInt64 {
        var parser = LaunchParser(message)
        var launchRequest = try parser.request(
            client: client.id, caller: client.caller, origin: origin,
            imageByteCount: imageByteCount, unpackedByteCount: unpackedByteCount,
            stallMilliseconds: configuration.stallMilliseconds)
        if launchRequest.isMove, let origin, let mover,
            let process = host.store.state.process(of: mover, on: origin.node, by: client.caller)
        {
            keepNumber(process, of: &launchRequest, mover: mover)
        } else if let origin, origin.node != -1 {
            takeNumbers(of: &launchRequest, from: origin.node)
        } else {
            try verify(launchRequest.processes, of: client.caller)
        }
        client.launchRequest = request
        let rankCount = launchRequest.nodes.count
        let launch = host.store.state.launch(
            launchRequest, now: Clock.monotonicNanoseconds, effects: &host.effects)
        client.launch = launch
        watcher(of: client)?.launch = launch
        streams[launch] = JobStreams(rankCount: rankCount)
        host.log.launch.debug(
            """
            launch \(launch): \(rankCount) ranks for user \(client.caller.user), an image of \
            \(imageByteCount) bytes
            """)
        return launch
    }

    /// Ghosts on a node have pids of that node. Where those are of a range of their own they name
    /// the ranks here as well, but for those that a process of this machine has.
    private func takeNumbers(of request: inout LaunchRequest, from node: Int32) {
        let givesPids = host.store.state.nodes.record(of: node)?.givesPids == true
        // A process that moves has only the one.
        let isTaken =
            request.isMove
            && request.processes.contains { number in
                host.store.state.process(number) != nil || bp_process_user(number) >= 0
            }
        guard givesPids, !isTaken else {
            request.processes = []
            request.order.flags.remove(.numbered)
            return
        }
        request.refusedProcesses = Set(request.processes.filter { bp_process_user($0) >= 0 })
    }

    /// Process numbers from a program are those of processes that its user has on this machine: a
    /// number is how the process is named everywhere, and nobody may speak in another's name.
    private func verify(
        _ processes: [Int32], of caller: Caller
    ) throws(LocalProtocolError) {
        for process in processes {
            guard bp_process_user(process) == Int(caller.user) else {
                throw .notPermitted("process \(process) is not one of user \(caller.user)")
            }
        }
    }

    /// A rank that moves keeps its number, which is a pid unless the master has chosen it.
    private func keepNumber(
        _ process: Int32, of request: inout LaunchRequest, mover: ClientLaunch.Mover
    ) {
        request.mover = mover
        request.processes = [process]
        request.order.flags.insert(.anyPid)
        if process < ProcessNumber.first {
            request.order.flags.insert(.numbered)
        } else {
            request.order.flags.remove(.numbered)
        }
        if comesHome(request, mover: mover) { request.order.flags.insert(.home) }
    }

    // MARK: Answers

    mutating func tellFailure(_ failure: Answer.Failure, to id: ClientID) {
        host.log.launch.info(
            "node \(failure.node), rank \(failure.rank): \(failure.stage): \(failure.reason)")
        guard let client = host.programs[id] else { return }
        var raw = bproc_local_failure()
        raw.rank = failure.rank
        raw.node = failure.node
        raw.stage = UInt32(failure.stage.rawValue)
        raw.error = failure.errorNumber
        var bytes = LocalMessage.bytes(of: raw)
        LocalMessage.put(
            failure.reason, into: &bytes,
            at: MemoryLayout<bproc_local_failure>.offset(of: \.reason)!,
            capacity: Int(BPROC_LOCAL_REASON_LEN))
        endInput(of: client, rank: failure.rank)
        send(
            LocalMessage.bytes(
                BPROC_LOCAL_FAILURE, request: client.launchRequest, body: bytes), to: client)
    }

    mutating func tellLaunched(_ report: LaunchReport, to id: ClientID) {
        host.log.launch.info(
            """
            launch \(report.launch): placed \(report.placedCount)/\(report.processes.count) in \
            \(report.elapsedNanoseconds / 1000) µs, \(report.imageSentence), fan-out \
            \(report.fanOut), chunk \(report.chunkByteCount), undump median \
            \(report.undumpMedianNanoseconds / 1000) µs, 99th \
            \(report.undump99thNanoseconds / 1000) µs, at most \
            \(report.receivedChunkCountMaximum) of \(report.chunkCount) chunks received by one node
            """)
        guard let client = host.programs[id] else { return }
        tellTimes(report, to: client)
        var raw = bproc_local_launched()
        raw.job = report.launch
        raw.rank_count = UInt32(report.processes.count)
        raw.placed_count = UInt32(report.placedCount)
        raw.placed_nanoseconds = report.elapsedNanoseconds
        raw.fan_out = UInt32(report.fanOut)
        raw.chunk_byte_count = report.chunkByteCount
        raw.undump_median_nanoseconds = report.undumpMedianNanoseconds
        raw.undump_99th_nanoseconds = report.undump99thNanoseconds
        raw.chunk_count = report.chunkCount
        raw.received_chunk_count_max = report.receivedChunkCountMaximum
        raw.other_pid_count = UInt32(report.otherPidCount)
        raw.first_other_pid = report.firstOtherPid
        var body = LocalMessage.bytes(of: raw)
        body.reserveCapacity(body.count + report.processes.count * 4)
        for process in report.processes { body += LocalMessage.bytes(of: process) }
        send(
            LocalMessage.bytes(
                BPROC_LOCAL_LAUNCHED, request: client.launchRequest, body: body), to: client)
    }

    private mutating func tellTimes(_ report: LaunchReport, to client: Client) {
        guard !report.times.isEmpty else { return }
        var body: [UInt8] = []
        body.reserveCapacity(report.times.count * MemoryLayout<bproc_local_times>.stride)
        for times in report.times {
            body += LocalMessage.bytes(
                of: bproc_local_times(
                    reached_microseconds: times.reached, header_microseconds: times.header,
                    complete_microseconds: times.complete, placed_microseconds: times.placed))
        }
        send(
            LocalMessage.bytes(BPROC_LOCAL_TIMES, request: client.launchRequest, body: body),
            to: client)
    }

    mutating func tellProgress(_ progress: LaunchProgress, to id: ClientID) {
        guard let client = host.programs[id] else { return }
        var raw = bproc_local_progress()
        raw.job = progress.launch
        raw.rank_count = UInt32(progress.rankCount)
        raw.reached_count = UInt32(progress.reachedCount)
        raw.placed_count = UInt32(progress.placedCount)
        raw.failed_count = UInt32(progress.failedCount)
        raw.done_count = UInt32(progress.doneCount)
        raw.image_bytes = progress.imageByteCount
        send(
            LocalMessage.bytes(
                BPROC_LOCAL_PROGRESS, request: client.launchRequest,
                body: LocalMessage.bytes(of: raw)), to: client)
    }

    mutating func noteExit(_ exit: RankExit, of id: ClientID) {
        host.log.launch.trace(
            "process \(exit.process), rank \(exit.rank), has ended: status \(exit.waitStatus)")
        var raw = bproc_local_exit()
        raw.rank = exit.rank
        raw.process = exit.process
        raw.status = exit.waitStatus
        raw.cause = exit.cause.rawValue
        raw.user_microseconds = exit.usage.userMicroseconds
        raw.system_microseconds = exit.usage.systemMicroseconds
        raw.max_resident_kilobytes = exit.usage.maximumResidentKilobytes
        exits[id, default: []] += LocalMessage.bytes(of: raw)
        guard let client = host.programs[id] else { return }
        endInput(of: client, rank: exit.rank)
        if let watcher = client.watcher {
            exits[watcher, default: []] += LocalMessage.bytes(of: raw)
        }
    }

    mutating func tellStop(_ record: StopRecord, to id: ClientID) {
        guard let caller = host.programs[id] else { return }
        let client = watcher(of: caller) ?? caller
        let raw = bproc_local_stop(
            rank: record.rank, signal: record.signal, sequence: record.sequence)
        // Exits that came before it are still to be sent, but of other ranks.
        send(
            LocalMessage.bytes(
                BPROC_LOCAL_STOP, request: client.launchRequest,
                body: LocalMessage.bytes(of: raw)), to: client)
    }

    /// Sends the exits of this round, one message for each client.
    mutating func sendExits() {
        guard !exits.isEmpty else { return }
        for (id, body) in exits {
            guard let client = host.programs[id] else { continue }
            send(
                LocalMessage.bytes(
                    BPROC_LOCAL_EXIT, request: client.launchRequest, body: body), to: client)
        }
        exits.removeAll(keepingCapacity: true)
    }
}
