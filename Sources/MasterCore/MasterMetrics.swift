public import Wire

/// What the master has done since it was started: numbers that only grow.
public struct MasterMetrics: Equatable, Sendable {
    /// How the launches that were answered have gone.
    public enum LaunchResult: String, CaseIterable, Sendable {
        /// Every rank was placed.
        case complete
        /// Some were.
        case partial
        /// None was.
        case failed
        /// Nobody waited for the answer any more.
        case abandoned
    }

    /// How ranks that were placed have ended.
    public enum RankEnd: String, CaseIterable, Sendable {
        /// By themselves.
        case exit
        case signal
        /// With their node.
        case node
    }

    public internal(set) var nodeArrivalCount: UInt64 = 0
    public internal(set) var nodeLossCount: UInt64 = 0
    public internal(set) var begunLaunchCount: UInt64 = 0
    public internal(set) var endedLaunchCount: UInt64 = 0
    public internal(set) var answeredLaunchCounts: [LaunchResult: UInt64] = [:]
    public internal(set) var placedRankCount: UInt64 = 0
    public internal(set) var adoptedRankCount: UInt64 = 0
    public internal(set) var failedRankCounts: [LaunchStage: UInt64] = [:]
    /// Ranks among the failed whose node showed no sign of life for the stall time.
    public internal(set) var stalledRankCount: UInt64 = 0
    public internal(set) var endedRankCounts: [RankEnd: UInt64] = [:]
    /// Images of all launches, each once.
    public internal(set) var imageByteCount: UInt64 = 0
    /// Image bytes that the master has handed to its links, for each child of each tree.
    public internal(set) var relayedByteCount: UInt64 = 0
    /// Children of the master in a tree that were lost and replaced by their own children.
    public internal(set) var healedRelayCount: UInt64 = 0
    public internal(set) var signalCount: UInt64 = 0
    public internal(set) var hookRunCounts: [HookKind: UInt64] = [:]
    public internal(set) var hookFailureCounts: [HookKind: UInt64] = [:]
    /// From a request to the placing of its last rank, for launches that were placed whole.
    public internal(set) var placedLatency = LatencyHistogram()

    public init() {}

    mutating func countAnswered(_ launch: MasterLaunch, elapsedNanoseconds: UInt64) {
        let result: LaunchResult
        if launch.isCondemned {
            result = .abandoned
        } else if launch.failedCount == 0 {
            result = .complete
            placedLatency.add(elapsedNanoseconds)
        } else {
            result = launch.placedCount > 0 ? .partial : .failed
        }
        answeredLaunchCounts[result, default: 0] += 1
    }

    mutating func countFailed(_ failure: Answer.Failure) {
        failedRankCounts[failure.stage, default: 0] += 1
        if failure.errorNumber == FailureCode.timedOut { stalledRankCount += 1 }
    }

    mutating func countEnded(waitStatus: Int32, cause: RankEndCause) {
        let end: RankEnd = cause != .own ? .node : waitStatus & 0x7f == 0 ? .exit : .signal
        endedRankCounts[end, default: 0] += 1
    }
}

/// Times by the bounds below which they lie.
public struct LatencyHistogram: Equatable, Sendable {
    /// Upper bounds in nanoseconds: from what a launch on one node takes to what a stall does.
    public static let bounds: [UInt64] = [
        1_000_000, 2_500_000, 5_000_000, 10_000_000, 25_000_000, 50_000_000, 100_000_000,
        250_000_000, 500_000_000, 1_000_000_000, 2_500_000_000, 5_000_000_000, 10_000_000_000,
        30_000_000_000,
    ]

    /// Times at most as long as each bound, and longer than the one before.
    public private(set) var counts = [UInt64](repeating: 0, count: Self.bounds.count)
    public private(set) var count: UInt64 = 0
    public private(set) var sumNanoseconds: UInt64 = 0

    public init() {}

    public mutating func add(_ nanoseconds: UInt64) {
        count += 1
        sumNanoseconds &+= nanoseconds
        if let index = Self.bounds.firstIndex(where: { nanoseconds <= $0 }) { counts[index] += 1 }
    }
}
