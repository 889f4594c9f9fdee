import CRestore
import CSystem
import Logging
import ProcessImage
import Ring
import SlaveCore
import System
import Wire

// Processes: started from a complete image, heard of through the status pipe, reaped by pidfd.
extension SlaveDaemon {
    mutating func spawn(launch: UInt64, rank: RelaySubtree.Rank) {
        guard let image = store.images[launch] else { return }
        do throws(RankFailure) {
            let process = try start(launch: launch, rank: rank, image: image)
            ranks.insert(process)
            ring.poll(
                process.pidfd.number, for: .readable,
                tag: ranks.tag(OperationKind.childExit, process))
            for stream in 1...2 { pollOutput(process, stream: stream) }
        } catch {
            store.state.rankFailed(
                launch: launch, rank: rank.rank, stage: error.stage,
                errorNumber: error.errorNumber, reason: error.reason,
                now: Clock.monotonicNanoseconds, effects: &effects)
        }
    }

    private func start(
        launch: UInt64, rank: RelaySubtree.Rank, image: ReceivedImage
    ) throws(RankFailure) -> RankProcess {
        var ends = ChildEnds()
        var streams = RankStreams()
        do throws(SystemCallError) {
            if case .forwarded(let hasInput) = image.order.descriptors {
                let input = hasInput ? try Pipe(nonblockingWrite: true).split() : nil
                if let input {
                    ends.input = OwnedDescriptor(adopting: input.reading)
                    streams.input = InputStream(OwnedDescriptor(adopting: input.writing))
                }
                let output = try Pipe(nonblockingRead: true).split()
                ends.output = OwnedDescriptor(adopting: output.writing)
                streams.outputs[0] = OutputStream(OwnedDescriptor(adopting: output.reading))
                let error = try Pipe(nonblockingRead: true).split()
                ends.error = OwnedDescriptor(adopting: error.writing)
                streams.outputs[1] = OutputStream(OwnedDescriptor(adopting: error.reading))
            }
        } catch {
            throw RankFailure(
                stage: .io, errorNumber: error.errorNumber, reason: error.description)
        }
        let order = image.order
        var plan = RankPlan(order: order, rank: rank)
        plan.socketPath = configuration.socketPath
        let isForwarded = if case .forwarded = order.descriptors { true } else { false }
        plan.standardInput = ends.input?.number ?? (isForwarded ? null?.number ?? -1 : -1)
        plan.standardOutput = ends.output?.number ?? -1
        plan.standardError = ends.error?.number ?? -1
        let (pid, pidfd) = try plan.spawn(
            restorer: restorer.number, slot: image.slot,
            directory: arena.directoryDescriptor, status: status.writing.number)
        return RankProcess(
            launch: launch, rank: rank.rank, pid: pid, pidfd: OwnedDescriptor(adopting: pidfd),
            streams: streams)
    }

    // MARK: Status

    /// Reads what restorers have said since the last time.
    mutating func readStatus() {
        takeStatusRecords()
        ring.poll(
            status.reading.number, for: .readable,
            tag: OperationTag(kind: OperationKind.status, slot: 0))
    }

    private mutating func takeStatusRecords() {
        let byteCount = MemoryLayout<bp_restore_record>.size
        var records = [64 of bp_restore_record](repeating: bp_restore_record())
        while true {
            let count = unsafe withUnsafeMutableBytes(of: &records) { bytes in
                unsafe (try? Stream.readAvailable(status.reading.number, into: bytes)) ?? nil
            }
            // Each record is one write of less than PIPE_BUF: never torn.
            guard let count, count >= byteCount else { return }
            for index in 0..<(count / byteCount) { take(records[index]) }
        }
    }

    private mutating func take(_ record: bp_restore_record) {
        guard record.magic == BP_RECORD_MAGIC else { return }
        // The tag is the slot: rank numbers are unique only within a launch.
        guard let process = ranks.all.first(where: { $0.statusTag == record.rank }) else { return }
        let now = Clock.monotonicNanoseconds
        if record.error == 0 {
            process.isPlaced = true
            let complete = store.images[process.launch]?.completeNanoseconds ?? now
            store.state.rankIsPlaced(
                launch: process.launch, rank: process.rank,
                undumpNanoseconds: record.monotonic_nanoseconds
                    - min(record.monotonic_nanoseconds, complete), now: now, effects: &effects)
        } else {
            process.hasFailed = true
            let stage = LaunchStage(rawValue: UInt8(truncatingIfNeeded: record.stage)) ?? .restore
            let reason = SystemCallError(
                RestoreStep.description(of: record), errorNumber: record.error)
            store.state.rankFailed(
                launch: process.launch, rank: process.rank, stage: stage,
                errorNumber: record.error, reason: reason.description, now: now,
                effects: &effects)
        }
    }

    // MARK: Exits

    mutating func childEnded(_ tag: OperationTag) {
        guard let process = ranks.process(tag) else { return }
        // Its own last word comes first: the restorer's record may still stand in the pipe.
        takeStatusRecords()
        do throws(SystemCallError) {
            guard let exit = try ChildExit.reap(pidfd: process.pidfd.number) else {
                ring.poll(process.pidfd.number, for: .readable, tag: tag)
                return
            }
            process.exit = exit
        } catch {
            logger.error("rank \(process.rank) of launch \(process.launch): \(error)")
            process.exit = ChildExit.unknown
        }
        if !process.isPlaced, !process.hasFailed {
            process.hasFailed = true
            store.state.rankFailed(
                launch: process.launch, rank: process.rank, stage: .restore, errorNumber: 5,
                reason: "the restorer ended without a word, wait status "
                    + String(process.exit!.waitStatus), now: Clock.monotonicNanoseconds,
                effects: &effects)
        }
        finishIfOver(process)
    }

    /// Reports an exit once everything the process has written is on its way.
    mutating func finishIfOver(_ process: RankProcess) {
        guard let exit = process.exit else { return }
        drainOutputs(process)
        guard process.outputs.allSatisfy({ $0 == nil }) else { return }
        ranks.remove(process)
        guard process.isPlaced else { return }
        store.state.rankExited(
            ExitRecord(
                launch: process.launch, rank: process.rank, waitStatus: exit.waitStatus,
                userMicroseconds: exit.userMicroseconds,
                systemMicroseconds: exit.systemMicroseconds,
                maximumResidentKilobytes: exit.maximumResidentKilobytes), effects: &effects)
    }

    mutating func signal(launch: UInt64, rank: UInt32, number: Int32) {
        guard let process = ranks.process(launch: launch, rank: rank), process.exit == nil else {
            return
        }
        // Each rank leads a session and a group of its own: what it started gets the signal as well.
        if bp_kill(-process.pid, number) < 0 { _ = bp_kill(process.pid, number) }
    }

    /// Nothing outlives its slave.
    mutating func endAllRanks() {
        for process in ranks.all where process.exit == nil {
            if bp_kill(-process.pid, 9) < 0 { _ = bp_kill(process.pid, 9) }
        }
    }
}

/// The child's ends of its streams: closed here once it has them.
struct ChildEnds: ~Copyable {
    var input: OwnedDescriptor?
    var output: OwnedDescriptor?
    var error: OwnedDescriptor?
}

/// Why one rank could not be started.
struct RankFailure: Error {
    let stage: LaunchStage
    let errorNumber: Int32
    let reason: String
}
