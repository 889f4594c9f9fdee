/// What happens to a job.
public enum JobEvent: Equatable, Sendable {
    /// Every rank is placed or has failed: the process numbers are known.
    case started(Placement)
    case progress(Progress)
    /// A rank will not start.
    case failure(rank: Int, BProcError)
    case exit(RankExit)
    /// No bytes: the stream has ended.
    case output(rank: Int, node: Int32, stream: OutputStream, bytes: [UInt8])
    /// More input may be written.
    case inputCredit
    /// Every rank is accounted for, or (with an error) the job was refused or lost.
    case end(BProcError?)

    public struct Placement: Equatable, Sendable {
        public var rankCount: Int
        public var placedCount: Int
        /// From the request to the last answer, as the daemon saw it.
        public var nanoseconds: UInt64
        /// What the planner chose, or was told.
        public var fanOut: UInt32
        public var chunkByteCount: UInt32
    }

    public struct Progress: Equatable, Sendable {
        public var rankCount: Int
        /// Nodes that have the launch, whatever of the image is still under way.
        public var reachedCount: Int
        public var placedCount: Int
        public var failedCount: Int
        public var doneCount: Int
        public var imageByteCount: UInt64
    }

    public struct RankExit: Equatable, Sendable {
        public var rank: Int
        public var node: Int32
        /// The number in `Job.processNumbers`.
        public var process: Int32
        public var status: WaitStatus
        /// The process did not end by itself: its node was lost.
        public var nodeDied: Bool
        /// The node has gone to another master, on which the process runs on.
        public var nodeLeft: Bool
    }

    public enum OutputStream: Int32, Sendable {
        case standardOutput = 1
        case standardError = 2
    }
}

/// How a process ended, as waitpid encodes it.
public struct WaitStatus: Equatable, Sendable {
    public let rawValue: Int32

    public init(rawValue: Int32) { self.rawValue = rawValue }

    /// The signal that killed it; nil: it exited.
    public var signal: Int32? { rawValue & 0x7f == 0 ? nil : rawValue & 0x7f }
    /// What it gave to exit, 0 to 255; nil: a signal killed it.
    public var exitCode: Int32? { signal == nil ? (rawValue >> 8) & 0xff : nil }
    /// "exit 1" or "signal 9".
    public var sentence: String { signal.map { "signal \($0)" } ?? "exit \(exitCode ?? 0)" }
    /// As a shell reports it: the exit code, or 128 and the signal.
    public var shellStatus: Int32 { signal.map { 128 + $0 } ?? (rawValue >> 8) & 0xff }
}
