import CSystem
import Link
import Host
import DaemonLog
import Logging
import ProcessImage
import Ring
import SlaveCore
import System
import Wire

// Processes: started from a complete image, heard of through their status pipes, reaped by pidfd.
extension SlaveDaemon {
    mutating func spawn(launch: UInt64, rank: RelaySubtree.Rank) {
        guard let image = host.store.held(launch) else { return }
        do throws(RankFailure) {
            // The first rank finds the last chunk of a packed image still packed.
            if let received = host.store.images[launch],
                case .refused(let stage, let errorNumber, let reason) = received.unpack()
            {
                throw RankFailure(stage: stage, errorNumber: errorNumber, reason: reason)
            }
            guard !image.order.flags.contains(.home) else {
                awaitGhost(launch: launch, rank: rank)
                return
            }
            let process = try start(launch: launch, rank: rank, image: image)
            ranks.insert(process)
            noteSession(of: process)
            host.ring.poll(
                process.pidfd, for: .readable,
                tag: ranks.tag(OperationKind.childExit, process))
            pollStatus(process)
            watchSetUp(of: process, descriptors: image.order.descriptors)
            for stream in 1...2 { pollOutput(process, stream: stream) }
        } catch {
            host.store.state.rankFailed(
                launch: launch, rank: rank.rank, stage: error.stage,
                errorNumber: error.errorNumber, reason: error.reason,
                now: Clock.monotonicNanoseconds, effects: &host.effects)
        }
    }

    private func start(
        launch: UInt64, rank: RelaySubtree.Rank, image: any HeldImage
    ) throws(RankFailure) -> RankProcess {
        let ends = ChildEnds()
        var streams = RankStreams()
        let status: StatusChannel
        do throws(SystemCallError) {
            if Waiting(image.order) != .none {
                let channel = try MessagePair().split()
                ends.status = channel.far
                status = StatusChannel(OwnedDescriptor(adopting: channel.near))
            } else {
                let channel = try Pipe(nonblockingRead: true).split()
                ends.status = channel.writing
                status = StatusChannel(OwnedDescriptor(adopting: channel.reading))
            }
            if case .forwarded(let hasInput, _) = image.order.descriptors {
                if hasInput {
                    let input = try Pipe(nonblockingWrite: true).split()
                    ends.input = input.reading
                    streams.input = InputStream(OwnedDescriptor(adopting: input.writing))
                }
                let output = try Pipe(nonblockingRead: true).split()
                ends.output = output.writing
                streams.outputs[0] = OutputStream(OwnedDescriptor(adopting: output.reading))
                let error = try Pipe(nonblockingRead: true).split()
                ends.error = error.writing
                streams.outputs[1] = OutputStream(OwnedDescriptor(adopting: error.reading))
            }
        } catch {
            throw RankFailure(
                stage: .io, errorNumber: error.errorNumber, reason: error.description)
        }
        let plan = plan(launch: launch, rank: rank, image: image, ends: ends)
        do throws(RestoreFailure) {
            // A rank beside its ghost cannot have the ghost's pid.
            var hasOtherPid = false
            let child = try spawn(
                plan, mayHaveAnyPid: image.order.flags.contains(.anyPid) || image is OwnImage,
                hasOtherPid: &hasOtherPid)
            let process = RankProcess(
                launch: launch, rank: rank, shownRank: plan.rank, waiting: Waiting(image.order),
                child: child, status: status, streams: streams)
            process.hasOtherPid = hasOtherPid
            return process
        } catch {
            throw RankFailure(error)
        }
    }

    /// Everything about a rank's process that is not in its image.
    private func plan(
        launch: UInt64, rank: RelaySubtree.Rank, image: any HeldImage, ends: ChildEnds
    ) -> RestorePlan {
        let order = image.order
        var plan = RestorePlan(
            rank: rank.rank &+ order.firstRank, image: image.restoreSource(arena: arena))
        plan.processNumber = UInt32(bitPattern: rank.process)
        plan.status = ends.status
        if case .forwarded(let hasInput, _) = order.descriptors {
            plan.standardInput = hasInput ? ends.input : nullNumber
            plan.standardOutput = ends.output
            plan.standardError = ends.error
        }
        for item in order.descriptors.items {
            let made = RestorePlan.Item(item, caller: way.master)
            if item.isDelayed {
                plan.delayedItems.append(made)
            } else {
                plan.items.append(made)
            }
        }
        // A slave without privilege runs only its own user's processes, and cannot change to
        // others.
        plan.credentials = RestorePlan.Credentials(
            user: order.user, group: order.group, groups: order.supplementaryGroups)
        plan.nice = order.nice
        plan.umask = order.umask
        plan.limits = order.limits.enumerated().map { number, limit in
            RestorePlan.Limit(resource: Int32(number), soft: limit.soft, hard: limit.hard)
        }
        plan.directory = Array(order.directory.utf8)
        plan.deathSignal = 9
        plan.isHeld = Waiting(order) != .none
        plan.namespace = namespace?.entrance
        if namespace != nil, order.flags.contains(.numbered) { plan.wantedPid = rank.process }
        plan.node = host.node
        plan.socketPath = configuration.socketName
        // Several ranks are spread over the processors instead.
        plan.runsAtOnce = isPrivileged && host.store.state.rankCount(ofLaunch: launch) == 1
        return plan
    }

    // MARK: Status

    private mutating func pollStatus(_ process: RankProcess) {
        guard let status = process.status else { return }
        host.ring.poll(
            status.descriptor.number, for: .readable,
            tag: ranks.tag(OperationKind.status, process))
    }

    mutating func statusIsReady(_ tag: OperationTag) {
        guard let process = ranks.process(tag) else { return }
        if !readStatus(of: process) { pollStatus(process) }
    }

    /// Takes what the restorer has said: one word before the program, one more from a process that
    /// was held and failed then, and the end of the channel.
    /// Whatever the image's code may write besides is not read. An end without a word is told by
    /// the end of the process.
    /// - Returns: whether nothing more is to come.
    @discardableResult
    private mutating func readStatus(of process: RankProcess) -> Bool {
        var space = [UInt8](repeating: 0, count: RestoreRecord.byteCount)
        while let status = process.status {
            let count = unsafe space.withUnsafeMutableBytes { bytes in
                unsafe try? Stream.readAvailable(status.descriptor.number, into: bytes)
            }
            guard let count else { return false }
            guard count == space.count, let record = unsafe RestoreRecord(space.span.bytes),
                record.rank == process.shownRank
            else {
                process.status = nil
                return true
            }
            if !process.isPlaced, !process.hasFailed {
                take(record, of: process)
                continue
            }
            process.status = nil
            if let failure = record.failure {
                // The caller has been told that it runs: it may still learn the exit status.
                let rank = "rank \(process.rank) of launch \(process.launch)"
                host.log.launch.warning("\(rank), after its start: \(failure)")
            }
        }
        return true
    }

    // MARK: Waiting

    /// Where nodes are crowded on a machine a program that is placed waits for the rest of its
    /// launch: a thousand programs at work would take the processors from the images that are still
    /// travelling. But no longer than this, because one node alone can keep a launch waiting.
    private static let crowdNanoseconds: UInt64 = 2_000_000_000

    private mutating func watchWaiting(of process: RankProcess, now: UInt64) {
        guard process.waiting != .none else { return }
        // The last answer was not this one's where the master has given the launch up meanwhile.
        guard host.store.state.isUnderWay(process.launch) else {
            letGo(process)
            return
        }
        guard process.waiting == .forTheCrowd else { return }
        waits.append(
            Overdue(
                status: ranks.tag(OperationKind.status, process),
                nanoseconds: now + Self.crowdNanoseconds))
    }

    /// All have the same time, so the first is the one that is over first.
    mutating func endOverdueWaits(now: UInt64) {
        while let first = waits.first, now >= first.nanoseconds {
            waits.removeFirst()
            if let process = ranks.process(first.status) { letGo(process) }
        }
    }

    private mutating func forgetWaits() {
        while let first = waits.first {
            if let process = ranks.process(first.status), process.waiting != .none { return }
            waits.removeFirst()
        }
    }

    /// Lets a process that waits for the rest of its launch go on.
    private func letGo(_ process: RankProcess) {
        guard process.waiting != .none, process.isPlaced, let status = process.status else {
            return
        }
        process.waiting = .none
        // A full or broken socket is the process's own doing; its end is seen elsewhere.
        _ = try? Stream.writeAvailable(status.descriptor.number, [1])
    }

    mutating func release(launch: UInt64) {
        for process in ranks.processes(ofLaunch: launch) { letGo(process) }
        forgetWaits()
    }

    // MARK: Time

    /// Files and connections of the user may never answer: the rank is given up after this time.
    private static let setUpNanoseconds: UInt64 = 60_000_000_000

    private mutating func watchSetUp(of process: RankProcess, descriptors: Descriptors) {
        guard !descriptors.items.isEmpty else { return }
        setUps.append(
            Overdue(
                status: ranks.tag(OperationKind.status, process),
                nanoseconds: Clock.monotonicNanoseconds + Self.setUpNanoseconds))
    }

    /// All set-ups have the same time, so the first is the one that is over first.
    mutating func endOverdueSetUps(now: UInt64) {
        while let first = setUps.first, now >= first.nanoseconds {
            setUps.removeFirst()
            guard let process = ranks.process(first.status), !process.isPlaced, !process.hasFailed
            else { continue }
            process.hasFailed = true
            _ = bp_kill(process.pid, 9)
            host.store.state.rankFailed(
                launch: process.launch, rank: process.rank, stage: .io,
                errorNumber: FailureCode.timedOut,
                reason: "the descriptors were not set up in "
                    + "\(Self.setUpNanoseconds / 1_000_000_000) s", now: now,
                effects: &host.effects)
        }
    }

    /// Nobody waits for those that are done: a slave at rest has nothing to wake up for.
    private mutating func forgetSetUps() {
        while let first = setUps.first {
            let process = ranks.process(first.status)
            if let process, !process.isPlaced, !process.hasFailed { return }
            setUps.removeFirst()
        }
    }

    private mutating func take(_ record: RestoreRecord, of process: RankProcess) {
        defer { forgetSetUps() }
        let now = Clock.monotonicNanoseconds
        if let failure = record.failure {
            process.hasFailed = true
            let rankFailure = RankFailure(failure)
            host.store.state.rankFailed(
                launch: process.launch, rank: process.rank, stage: rankFailure.stage,
                errorNumber: rankFailure.errorNumber, reason: rankFailure.reason, now: now,
                effects: &host.effects)
            return
        }
        process.isPlaced = true
        watchWaiting(of: process, now: now)
        let placed = record.monotonicNanoseconds
        let complete = host.store.held(process.launch)?.completeNanoseconds ?? placed
        host.store.state.rankIsPlaced(
            launch: process.launch, rank: process.rank,
            undumpNanoseconds: placed - min(placed, complete), hasOtherPid: process.hasOtherPid,
            now: now, effects: &host.effects)
        if process.stopSignal != 0 { tellOfStop(process) }
    }

    // MARK: Exits

    mutating func childEnded(_ tag: OperationTag) {
        guard let process = ranks.process(tag) else { return }
        // Its own last word comes first: the restorer's record may still stand in the pipe.
        readStatus(of: process)
        do throws(SystemCallError) {
            guard let exit = try ChildExit.reap(pidfd: process.pidfd) else {
                host.ring.poll(process.pidfd, for: .readable, tag: tag)
                return
            }
            process.exit = exit
        } catch {
            host.log.launch.error("rank \(process.rank) of launch \(process.launch): \(error)")
            process.exit = ChildExit.unknown
        }
        if !process.isPlaced, !process.hasFailed {
            process.hasFailed = true
            host.store.state.rankFailed(
                launch: process.launch, rank: process.rank, stage: .restore, errorNumber: 5,
                reason: "the restorer ended without a word, wait status "
                    + String(process.exit!.waitStatus), now: Clock.monotonicNanoseconds,
                effects: &host.effects)
        }
        finishIfOver(process)
    }

    /// Reports an exit once everything the process has written is on its way.
    mutating func finishIfOver(_ process: RankProcess) {
        guard let exit = process.exit else { return }
        drainOutputs(process)
        guard process.outputs.allSatisfy({ $0 == nil }) else { return }
        ranks.remove(process)
        forgetSetUps()
        forgetWaits()
        guard process.isPlaced else { return }
        let record = ExitRecord(
            launch: process.launch, rank: process.rank, waitStatus: exit.waitStatus,
            usage: ResourceUsage(
                userMicroseconds: exit.userMicroseconds,
                systemMicroseconds: exit.systemMicroseconds,
                maximumResidentKilobytes: exit.maximumResidentKilobytes))
        // Another master may have been told that it runs.
        if attempt?.kept.isEmpty == false { attempt?.exits.append(record) }
        host.store.state.rankExited(record, effects: &host.effects)
    }

    /// Nothing outlives its slave.
    mutating func endAllRanks() {
        for process in ranks.all where process.exit == nil {
            if bp_kill(-process.pid, 9) < 0 { _ = bp_kill(process.pid, 9) }
        }
    }
}

/// The child's ends of its streams, by number: closed here once the child has them.
final class ChildEnds {
    var input: Int32?
    var output: Int32?
    var error: Int32?
    var status: Int32?

    deinit {
        for end in [input, output, error, status] {
            if let end { _ = bp_close(end) }
        }
    }
}

/// Why one rank could not be started.
struct RankFailure: Error {
    let stage: LaunchStage
    let errorNumber: Int32
    let reason: String

    init(stage: LaunchStage, errorNumber: Int32, reason: String) {
        self.stage = stage
        self.errorNumber = errorNumber
        self.reason = reason
    }

    init(_ failure: RestoreFailure) {
        self.init(
            stage: LaunchStage(rawValue: UInt8(truncatingIfNeeded: failure.stage)) ?? .restore,
            errorNumber: failure.errorNumber, reason: failure.description)
    }
}

extension RestorePlan.Item {
    /// - Parameter caller: stands for the address 0.0.0.0, as this node sees it.
    init(_ item: Descriptors.Item, caller: NodeAddress) {
        switch item.target {
        case .file(let path, let openFlags, let mode, let offset):
            self = .file(
                descriptor: item.descriptor, flags: openFlags, mode: mode, offset: offset,
                path: Array(path.utf8))
        case .socket(var address):
            if address.isUnspecifiedIPv4 {
                let port = address.port
                address = caller
                address.port = port
            }
            let octets = (0..<(address.family == .ipv4 ? 4 : 16)).map { address.octets[$0] }
            self = .socket(
                descriptor: item.descriptor, address: octets, port: address.port,
                sendsInfo: item.flags & 1 != 0)
        }
    }
}
