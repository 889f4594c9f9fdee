package import CLocalProtocol
package import LocalProtocol
package import MasterCore
import Wire

/// What a program asks of the process space, as the local protocol has it.
package enum ProcessRequest: Equatable, Sendable {
    /// A page of the list; node nil: any.
    case list(node: Int32?, after: RankPlace?)
    case one(process: Int32)
    /// The process of this number whose node's end was its own.
    case lost(process: Int32)
    case kill(process: Int32, signal: Int32, wholeJob: Bool)
    /// What the processes do; node nil: all nodes.
    case status(node: Int32?, patienceNanoseconds: UInt64)

    /// Nothing changes by it, so anybody may ask.
    package var isReading: Bool {
        if case .kill = self { return false }
        return true
    }

    /// - Returns: nil for a message of another kind.
    package init?(kind: bproc_local_kind, body: [UInt8]) throws(LocalProtocolError) {
        switch kind {
        case BPROC_LOCAL_PROCESSES_REQUEST:
            guard let raw = LocalMessage.load(bproc_local_processes_request.self, from: body),
                body.count == MemoryLayout<bproc_local_processes_request>.size
            else { throw .invalid("a request for processes of another size") }
            guard raw.flags & ~UInt32(BPROC_LOCAL_PROCESSES_LOST) == 0 else {
                throw .invalid("unknown flags \(raw.flags) of a request for processes")
            }
            guard raw.process <= 0 else {
                self =
                    raw.flags == 0
                    ? .one(process: raw.process) : .lost(process: raw.process)
                return
            }
            self = .list(
                node: Self.node(raw.node),
                after: raw.after_job == 0
                    ? nil : RankPlace(launch: raw.after_job, rank: raw.after_rank))
        case BPROC_LOCAL_KILL:
            guard let raw = LocalMessage.load(bproc_local_kill.self, from: body),
                body.count == MemoryLayout<bproc_local_kill>.size
            else { throw .invalid("a signal message of another size") }
            guard raw.flags & ~UInt32(BPROC_LOCAL_KILL_JOB) == 0 else {
                throw .invalid("unknown flags \(raw.flags) of a signal")
            }
            self = .kill(process: raw.process, signal: raw.signal, wholeJob: raw.flags != 0)
        case BPROC_LOCAL_STATUS_REQUEST:
            guard let raw = LocalMessage.load(bproc_local_status_request.self, from: body),
                body.count == MemoryLayout<bproc_local_status_request>.size
            else { throw .invalid("a request for the state of processes of another size") }
            self = .status(
                node: Self.node(raw.node),
                patienceNanoseconds: UInt64(raw.patience_milliseconds) * 1_000_000)
        default: return nil
        }
    }

    private static func node(_ raw: Int32) -> Int32? {
        raw == Int32(BPROC_LOCAL_ANY_NODE) ? nil : raw
    }
}

extension LostProcess {
    /// As the local protocol has it.
    package var encoded: [UInt8] {
        entry.encoded(
            state: cause == .nodeLeft
                ? BPROC_LOCAL_PROCESS_LEFT : BPROC_LOCAL_PROCESS_DIED)
    }
}

extension ProcessEntry {
    /// As the local protocol has it.
    package var encoded: [UInt8] {
        encoded(
            state: isRunning ? BPROC_LOCAL_PROCESS_RUNNING : BPROC_LOCAL_PROCESS_STARTING)
    }

    fileprivate func encoded(state: bproc_local_process_state) -> [UInt8] {
        var raw = bproc_local_process()
        raw.job = place.launch
        raw.rank = place.rank
        raw.process = process
        raw.node = node
        raw.user = user
        raw.state = state.rawValue
        return LocalMessage.bytes(of: raw)
    }
}

extension ProcessStatus {
    /// As the local protocol has it.
    package var encoded: [UInt8] {
        var raw = bproc_local_status()
        raw.job = report.launch
        raw.rank = report.rank
        raw.process = process
        raw.node = node
        raw.local_process = report.localProcess
        raw.local_parent = report.localParent
        raw.user = report.user
        raw.state = UInt32(report.state)
        raw.user_microseconds = report.userMicroseconds
        raw.system_microseconds = report.systemMicroseconds
        raw.elapsed_microseconds = report.elapsedMicroseconds
        raw.resident_bytes = report.residentByteCount
        var bytes = LocalMessage.bytes(of: raw)
        LocalMessage.put(
            report.command, into: &bytes,
            at: MemoryLayout<bproc_local_status>.offset(of: \.command)!, capacity: 128)
        return bytes
    }
}
