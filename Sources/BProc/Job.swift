import CBProc
import Glibc

/// One launch with its channel. Letting go of it ends the ranks that still run, unless its options
/// say otherwise.
///
/// The invariant behind `@safe`: the pointer came from bproc_job_launch, belongs to this value
/// alone, and is given to bproc_job_close once, in `deinit`.
@safe
public struct Job: ~Copyable {
    private let pointer: OpaquePointer

    init(adopting pointer: OpaquePointer) { unsafe self.pointer = pointer }

    deinit { unsafe bproc_job_close(pointer) }

    public var rankCount: Int { unsafe Int(bproc_job_rank_count(pointer)) }

    /// Whether the ranks are children of this process: not before they have started.
    public var hasChildren: Bool { unsafe bproc_job_has_children(pointer) == 1 }

    /// By rank: the process number or a negative error number; 0 while not known.
    public var processNumbers: [Int32] {
        unsafe Array(UnsafeBufferPointer(start: bproc_job_pids(pointer), count: rankCount))
    }

    /// By rank: the node it was meant for.
    public var nodes: [Int32] {
        unsafe Array(UnsafeBufferPointer(start: bproc_job_nodes(pointer), count: rankCount))
    }

    /// To poll for `pollEvents`; afterwards call `next()` until it answers nil.
    public var descriptor: Int32 { unsafe bproc_job_descriptor(pointer) }
    public var pollEvents: Int16 { unsafe bproc_job_poll_events(pointer) }

    /// Waits until every rank is placed or has failed. Events stay to be read.
    public func waitUntilStarted() throws(BProcError) {
        guard unsafe bproc_job_wait_started(pointer) == 0 else { throw .last() }
    }

    /// The next event, or nil: none now. Never waits. After the end it answers the end again.
    public mutating func next() throws(BProcError) -> JobEvent? {
        var event = unsafe bproc_job_event()
        while true {
            let found = unsafe bproc_job_next(pointer, &event)
            guard found >= 0 else { throw .last() }
            if found == 0 { return nil }
            if let known = unsafe JobEvent(event) { return known }
        }
    }

    /// Bytes of input that may be written now.
    public var inputRoom: Int { unsafe bproc_job_input_room(pointer) }

    /// Writes to the standard input of one rank, or of all (nil). Never waits.
    /// - Returns: how many bytes were taken, from the front.
    /// - Throws: `wouldBlock` when none can be taken now.
    public mutating func write(_ bytes: Span<UInt8>, to rank: Int? = nil) throws(BProcError) -> Int
    {
        let count = unsafe bytes.withUnsafeBufferPointer { bytes in
            unsafe bproc_job_write(pointer, number(of: rank), bytes.baseAddress, bytes.count)
        }
        guard count >= 0 else { throw .last() }
        return count
    }

    /// Ends the standard input of one rank, or of all.
    public mutating func closeInput(of rank: Int? = nil) throws(BProcError) {
        guard unsafe bproc_job_close_input(pointer, number(of: rank)) == 0 else { throw .last() }
    }

    /// Lets the rank send as many more bytes of this output.
    public mutating func consumed(
        _ byteCount: Int, from stream: JobEvent.OutputStream, of rank: Int
    ) throws(BProcError) {
        let result = unsafe bproc_job_consumed(
            pointer, number(of: rank), stream.rawValue, byteCount)
        guard result == 0 else { throw .last() }
    }

    /// Sends a signal to one rank, or to all.
    public mutating func signal(_ signal: Int32, to rank: Int? = nil) throws(BProcError) {
        guard unsafe bproc_job_signal(pointer, number(of: rank), signal) == 0 else { throw .last() }
    }

    /// What is known of a rank that failed; nil if it has not.
    public func failure(of rank: Int) -> BProcError? {
        var event = unsafe bproc_job_event()
        guard unsafe bproc_job_failure(pointer, number(of: rank), &event) == 0 else { return nil }
        return unsafe BProcError(failure: event)
    }

    /// Ranks that run under other pids on their nodes than `processNumbers` has, because those were
    /// taken there: how many, and the first; nil: none. Known after the start.
    public var otherPids: (count: Int, first: Int)? {
        var rank: Int32 = 0
        let count = unsafe bproc_job_other_pids(pointer, &rank)
        return count > 0 ? (Int(count), Int(rank)) : nil
    }

    /// How far the node of a rank was when, in microseconds since the master began the launch, by
    /// its clock; what messages took on their way to the node is not in it.
    public struct StageTimes: Sendable, Equatable {
        /// The node has the launch.
        public var reached: UInt32
        /// And the first piece of the image, with its header.
        public var header: UInt32
        /// And the whole image, checked.
        public var complete: UInt32
        /// The process is about to enter its program.
        public var placed: UInt32

        public init(reached: UInt32, header: UInt32, complete: UInt32, placed: UInt32) {
            self.reached = reached
            self.header = header
            self.complete = complete
            self.placed = placed
        }
    }

    /// Known after the start, of ranks that are placed, if the launch asked for it.
    public func stageTimes(of rank: Int) -> StageTimes? {
        var times = bproc_job_times()
        guard unsafe bproc_job_stage_times(pointer, number(of: rank), &times) == 0 else {
            return nil
        }
        return StageTimes(
            reached: times.reached, header: times.header, complete: times.complete,
            placed: times.placed)
    }

    private func number(of rank: Int?) -> Int32 {
        rank.map { Int32(clamping: $0) } ?? BPROC_JOB_ALL_RANKS
    }
}

extension BProcError {
    init(failure event: bproc_job_event) {
        unsafe self.init(
            errorNumber: event.error, sentence: String(cString: event.text), node: event.node,
            stage: LaunchStage(rawValue: event.stage) ?? .none)
    }
}

extension JobEvent {
    /// nil: an event that this version does not know.
    init?(_ event: bproc_job_event) {
        switch unsafe bproc_job_event_kind(rawValue: UInt32(bitPattern: event.kind)) {
        case BPROC_EVENT_STARTED:
            self = unsafe .started(
                Placement(
                    rankCount: Int(event.rank_count), placedCount: Int(event.placed_count),
                    nanoseconds: event.nanoseconds, fanOut: event.fan_out,
                    chunkByteCount: event.chunk_byte_count))
        case BPROC_EVENT_PROGRESS:
            self = unsafe .progress(
                Progress(
                    rankCount: Int(event.rank_count), reachedCount: Int(event.reached_count),
                    placedCount: Int(event.placed_count), failedCount: Int(event.failed_count),
                    doneCount: Int(event.done_count),
                    imageByteCount: event.byte_count))
        case BPROC_EVENT_FAILURE:
            self = unsafe .failure(rank: Int(event.rank), BProcError(failure: event))
        case BPROC_EVENT_EXIT:
            self = unsafe .exit(
                RankExit(
                    rank: Int(event.rank), node: event.node, process: event.process,
                    status: WaitStatus(rawValue: event.status), nodeDied: event.node_died != 0,
                    nodeLeft: event.node_died == 2))
        case BPROC_EVENT_OUTPUT:
            // The library's bytes live until the next event is asked for; they are copied here.
            let bytes = unsafe Array(
                UnsafeBufferPointer(start: event.bytes, count: Int(event.byte_count)))
            self = unsafe .output(
                rank: Int(event.rank), node: event.node,
                stream: event.stream == 1 ? .standardOutput : .standardError, bytes: bytes)
        case BPROC_EVENT_INPUT_CREDIT: self = .inputCredit
        case BPROC_EVENT_END:
            self = unsafe .end(
                event.error == 0
                    ? nil
                    : BProcError(errorNumber: event.error, sentence: String(cString: event.text)))
        default: return nil
        }
    }
}
