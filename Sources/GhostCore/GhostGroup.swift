/// The ghosts of one job: for each rank a child of the caller, which shall live, stop and end as
/// the rank does. Pure: events in, effects out.
public struct GhostGroup: Sendable {
    /// What the server is to do. Ghosts are numbered as the ranks of their job.
    public enum Effect: Equatable, Sendable {
        /// Let a stopped ghost go on, with this signal or with none (0).
        case resume(ghost: Int, signal: Int32)
        /// Leave a ghost that a signal has stopped as it is.
        case listen(ghost: Int)
        /// Have the ghost, stopped by a signal or not, end as this wait status says.
        case end(ghost: Int, status: Int32, isStopped: Bool)
        /// Send the signal to the rank.
        case forward(rank: Int, signal: Int32)
        /// Send it to every rank.
        case forwardToAll(signal: Int32)
    }

    struct Ghost: Sendable {
        var isDead = false
        /// How it was told to end.
        var order: Int32?
        var isStopped = false
        /// Signals that came before there was a rank to send them to.
        var early: [Int32] = []
        var rank = Rank.awaited
        /// Bit 1: standard output has ended; bit 2: standard error.
        var endedOutputs: UInt8 = 0
    }

    enum Rank: Equatable, Sendable {
        case awaited
        case running
        /// It has ended so, and its ghost waits until its output has, or until this time.
        case ended(status: Int32, deadlineNanoseconds: UInt64)
        /// Its caller knows that it has ended; its output is still passed on.
        case draining
        case over
    }

    private(set) var ghosts: [Ghost]
    private var livingCount: Int
    private var openRankCount: Int
    private var isForwarding = false
    private var isAdopted = false
    /// The caller has ended: what is left of the output is written until then.
    private var closingNanoseconds: UInt64?
    private var isCutOff = false
    /// The caller has ended, and the time for what was left of its job too.
    public private(set) var isClosed = false

    /// How long the end of a rank is kept from its caller because output of it is still on its way.
    public static let outputWaitNanoseconds: UInt64 = 200_000_000
    /// How long the ranks of a caller that has ended are waited for.
    public static let closingNanoseconds: UInt64 = 2_000_000_000

    /// More than signals can pile up for a process: each number counts once.
    static let earlyLimit = 64
    static let kill: Int32 = 9
    static let trap: Int32 = 5
    /// SIGSTOP, and what stops a process unless it does something else about them.
    static let stop: Int32 = 19
    static let stops: ClosedRange<Int32> = 19...22
    static let go: Int32 = 18
    private static let allOutputs: UInt8 = 6

    public init(count: Int) {
        ghosts = [Ghost](repeating: Ghost(), count: count)
        livingCount = count
        openRankCount = count
    }

    // MARK: The job

    /// The ranks have started or failed; the ghosts of those that failed are gone already.
    public mutating func adopt(
        started: [Bool], isForwarding: Bool, effects: inout [Effect]
    ) {
        precondition(started.count == ghosts.count && !isAdopted)
        isAdopted = true
        self.isForwarding = isForwarding
        for index in ghosts.indices {
            guard started[index] else {
                if !ghosts[index].isDead { livingCount -= 1 }
                ghosts[index].isDead = true
                close(index)
                continue
            }
            ghosts[index].rank = .running
            for signal in ghosts[index].early {
                effects.append(.forward(rank: index, signal: signal))
            }
            ghosts[index].early = []
        }
    }

    /// A rank has ended; `isNodeDeath`: because its node did.
    public mutating func rankEnded(
        _ rank: Int, status: Int32, isNodeDeath: Bool, now: UInt64, effects: inout [Effect]
    ) {
        guard ghosts.indices.contains(rank), ghosts[rank].rank == .running else { return }
        ghosts[rank].rank = .ended(
            status: isNodeDeath ? Self.kill : status,
            deadlineNanoseconds: now + Self.outputWaitNanoseconds)
        if isNodeDeath { ghosts[rank].endedOutputs = Self.allOutputs }
        endIfComplete(rank, effects: &effects)
    }

    /// An output of a rank has ended: 1 or 2.
    public mutating func outputEnded(_ rank: Int, stream: UInt32, effects: inout [Effect]) {
        guard ghosts.indices.contains(rank), (1...2).contains(stream) else { return }
        ghosts[rank].endedOutputs |= 1 << UInt8(stream)
        endIfComplete(rank, effects: &effects)
    }

    /// Nothing more will be heard of the ranks: the daemon has ended or the job was refused.
    public mutating func jobIsLost(effects: inout [Effect]) {
        isCutOff = true
        for index in ghosts.indices where ghosts[index].rank != .over {
            var status = Self.kill
            if case .ended(let known, _) = ghosts[index].rank { status = known }
            close(index)
            order(index, status: status, effects: &effects)
        }
    }

    public mutating func callerIsGone(now: UInt64, effects: inout [Effect]) {
        guard closingNanoseconds == nil else { return }
        closingNanoseconds = now + Self.closingNanoseconds
        if isAdopted, openRankCount > 0 {
            effects.append(.forwardToAll(signal: Self.kill))
        } else if !isAdopted {
            jobIsLost(effects: &effects)
        }
    }

    private mutating func endIfComplete(_ rank: Int, effects: inout [Effect]) {
        guard !isForwarding || ghosts[rank].endedOutputs == Self.allOutputs else { return }
        switch ghosts[rank].rank {
        case .ended(let status, _):
            close(rank)
            order(rank, status: status, effects: &effects)
        case .draining: close(rank)
        case .awaited, .running, .over: break
        }
    }

    private mutating func close(_ rank: Int) {
        guard ghosts[rank].rank != .over else { return }
        ghosts[rank].rank = .over
        openRankCount -= 1
    }

    private mutating func order(_ ghost: Int, status: Int32, effects: inout [Effect]) {
        guard !ghosts[ghost].isDead, ghosts[ghost].order == nil else { return }
        ghosts[ghost].order = status
        effects.append(
            .end(ghost: ghost, status: status, isStopped: ghosts[ghost].isStopped))
    }

    // MARK: Ghosts

    /// A signal has come for a ghost, which waits to be told what to do about it.
    public mutating func ghostGot(signal: Int32, ghost: Int, effects: inout [Effect]) {
        if let order = ghosts[ghost].order {
            effects.append(.resume(ghost: ghost, signal: order & 0x7f == signal ? signal : 0))
        } else if Self.stops.contains(signal) {
            // Whether the ghost really stops the kernel decides, by its process group.
            effects.append(.resume(ghost: ghost, signal: signal))
        } else {
            effects.append(.resume(ghost: ghost, signal: 0))
            forward(signal, of: ghost, effects: &effects)
        }
    }

    /// A signal has stopped the ghost as a process, or (SIGTRAP) one has let it go on.
    public mutating func ghostStopped(signal: Int32, ghost: Int, effects: inout [Effect]) {
        guard Self.stops.contains(signal) else {
            ghosts[ghost].isStopped = false
            effects.append(.resume(ghost: ghost, signal: 0))
            return
        }
        effects.append(.listen(ghost: ghost))
        guard !ghosts[ghost].isStopped else { return }
        ghosts[ghost].isStopped = true
        // A rank has no terminal, so that the others would not stop it.
        if ghosts[ghost].order == nil { forward(Self.stop, of: ghost, effects: &effects) }
    }

    /// A ghost has ended; by a signal, or with 0.
    public mutating func ghostDied(signal: Int32, ghost: Int, effects: inout [Effect]) {
        guard !ghosts[ghost].isDead else { return }
        ghosts[ghost].isDead = true
        livingCount -= 1
        // Only SIGKILL ends a ghost that was not told to.
        if ghosts[ghost].order == nil {
            forward(signal > 0 ? signal : Self.kill, of: ghost, effects: &effects)
        }
    }

    private mutating func forward(_ signal: Int32, of ghost: Int, effects: inout [Effect]) {
        switch ghosts[ghost].rank {
        case .awaited:
            if ghosts[ghost].early.count < Self.earlyLimit { ghosts[ghost].early.append(signal) }
        case .running: effects.append(.forward(rank: ghost, signal: signal))
        case .ended, .draining, .over: break
        }
    }

    // MARK: Time

    public var deadlineNanoseconds: UInt64? {
        var deadline = isClosed ? nil : closingNanoseconds
        for ghost in ghosts {
            guard case .ended(_, let time) = ghost.rank else { continue }
            deadline = min(deadline ?? time, time)
        }
        return deadline
    }

    public mutating func tick(now: UInt64, effects: inout [Effect]) {
        for index in ghosts.indices {
            guard case .ended(let status, let deadline) = ghosts[index].rank, deadline <= now
            else { continue }
            ghosts[index].rank = .draining
            order(index, status: status, effects: &effects)
        }
        if !isClosed, let closing = closingNanoseconds, closing <= now {
            isClosed = true
            jobIsLost(effects: &effects)
        }
    }

    /// Every ghost has ended, and nothing more is to come from the ranks.
    public var isOver: Bool { livingCount == 0 && (openRankCount == 0 || isCutOff) }
}
