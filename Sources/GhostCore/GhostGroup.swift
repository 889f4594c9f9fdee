public import Wire

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
        /// Have the ghost come to `ghostIsReadyToStop`.
        case stop(ghost: Int)
        /// Let a ghost that has stopped as a process go on.
        case go(ghost: Int)
        /// Send the signal to the rank.
        case forward(rank: Int, RankSignal)
        /// Send it to every rank.
        case forwardToAll(RankSignal)
        /// Let the ghost, which has come for that, become its rank's process.
        case letGo(ghost: Int)
        /// Have it sleep as before, which has come for that.
        case stay(ghost: Int)
    }

    /// Who has sent a ghost a signal.
    public enum Origin: Sendable {
        /// The terminal, to a process group.
        case terminal
        /// The ghosts' own server.
        case server
        case other
    }

    struct Ghost: Sendable {
        var isDead = false
        /// How it was told to end.
        var order: Int32?
        /// It has stopped as a process.
        var isStopped = false
        /// SIGSTOP was let through; the stop that comes of it, if one does, is still to be seen.
        var stopOrigin: Origin?
        /// It was told to come and stop, and has not come yet.
        var isCalled = false
        /// Whether the rank has stopped, as far as is known.
        var rankHasStopped = false
        /// Of the last stop or continue that was sent to the rank.
        var sequence: UInt32 = 0
        /// Whom the last stop has reached, until the rank goes on.
        var stopReach: SignalReach?
        /// Signals that came before there was a rank to send them to.
        var early: [RankSignal] = []
        var rank = Rank.awaited
        /// Its rank's process is on the way to it.
        var isAwaiting = false
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

    var ghosts: [Ghost]
    private var livingCount: Int
    private var openRankCount: Int
    private var isForwarding = false
    private var isAdopted = false
    private var endsWithCaller = true
    /// The job ends with its caller: what is left of the output is written until then.
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
    static let stop: Int32 = 19
    /// SIGTSTP, SIGTTIN and SIGTTOU stop a process unless it does something else about them.
    static let terminalStops: ClosedRange<Int32> = 20...22
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
        started: [Bool], isForwarding: Bool, endsWithCaller: Bool, effects: inout [Effect]
    ) {
        precondition(started.count == ghosts.count && !isAdopted)
        isAdopted = true
        self.endsWithCaller = endsWithCaller
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
                effects.append(.forward(rank: index, signal))
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

    /// The caller has ended. Ghosts that are its children, known to it (`areClaimed`), are orphans
    /// as others are, unless they were to end with it.
    public mutating func callerIsGone(
        areClaimed: Bool, now: UInt64, effects: inout [Effect]
    ) {
        guard closingNanoseconds == nil, !areClaimed || endsWithCaller else { return }
        closingNanoseconds = now + Self.closingNanoseconds
        if isAdopted, openRankCount > 0 {
            effects.append(.forwardToAll(RankSignal(Self.kill, reach: .descendants)))
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
    public mutating func ghostGot(
        signal: Int32, ghost: Int, from origin: Origin, effects: inout [Effect]
    ) {
        if let order = ghosts[ghost].order {
            effects.append(.resume(ghost: ghost, signal: order & 0x7f == signal ? signal : 0))
            return
        }
        guard signal != Self.stop else {
            // Whether the ghost really stops the kernel decides: a SIGCONT may come before.
            ghosts[ghost].stopOrigin = origin
            effects.append(.resume(ghost: ghost, signal: signal))
            return
        }
        effects.append(.resume(ghost: ghost, signal: 0))
        if signal == Self.go {
            ghosts[ghost].isStopped = false
            ghosts[ghost].stopOrigin = nil
        }
        // Its own server's: the rank goes on already.
        guard origin != .server else { return }
        let reach: SignalReach = origin == .terminal ? .group : .process
        switch signal {
        case Self.go: sendGo(reach, to: ghost, effects: &effects)
        case Self.terminalStops:
            // Whether the rank stops is its own affair; the ghost follows.
            sendStop(signal, reach, to: ghost, effects: &effects)
        default: forward(RankSignal(signal, reach: reach), of: ghost, effects: &effects)
        }
    }

    /// A signal has stopped the ghost as a process, or (SIGTRAP) one has let it go on.
    public mutating func ghostStopped(signal: Int32, ghost: Int, effects: inout [Effect]) {
        guard signal == Self.stop || Self.terminalStops.contains(signal) else {
            ghosts[ghost].isStopped = false
            effects.append(.resume(ghost: ghost, signal: 0))
            return
        }
        effects.append(.listen(ghost: ghost))
        guard ghosts[ghost].order == nil else {
            effects.append(.go(ghost: ghost))
            return
        }
        // Told once more, it is still the same stop.
        guard let origin = ghosts[ghost].stopOrigin else { return }
        ghosts[ghost].stopOrigin = nil
        ghosts[ghost].isStopped = true
        if origin == .server {
            follow(ghost, effects: &effects)
        } else {
            ghosts[ghost].rankHasStopped = true
            sendStop(Self.stop, .process, to: ghost, effects: &effects)
        }
    }

    /// A ghost has come, as it was told, to stop as its rank has. It comes after a SIGCONT that was
    /// on its way to it, which must not be lost: a SIGSTOP would have taken it back.
    public mutating func ghostIsReadyToStop(ghost: Int, effects: inout [Effect]) {
        ghosts[ghost].isCalled = false
        guard ghosts[ghost].order == nil, ghosts[ghost].rankHasStopped else {
            effects.append(.resume(ghost: ghost, signal: 0))
            return
        }
        ghosts[ghost].stopOrigin = .server
        effects.append(.resume(ghost: ghost, signal: Self.stop))
    }

    /// A rank has stopped by this signal, or (0) goes on; `sequence`: of the last order that had
    /// reached it by then. What crosses an order is old news: the rank has obeyed since.
    public mutating func rankStopped(
        _ rank: Int, signal: Int32, sequence: UInt32, effects: inout [Effect]
    ) {
        guard ghosts.indices.contains(rank), ghosts[rank].rank == .running,
            sequence == ghosts[rank].sequence
        else { return }
        ghosts[rank].rankHasStopped = signal != 0
        follow(rank, effects: &effects)
    }

    /// Has a ghost stop or go on as its rank.
    private mutating func follow(_ index: Int, effects: inout [Effect]) {
        let ghost = ghosts[index]
        guard !ghost.isDead, ghost.order == nil else { return }
        if ghost.rankHasStopped {
            guard !ghost.isStopped, ghost.stopOrigin == nil, !ghost.isCalled else { return }
            ghosts[index].isCalled = true
            effects.append(.stop(ghost: index))
        } else if ghost.isStopped {
            ghosts[index].isStopped = false
            effects.append(.go(ghost: index))
        }
    }

    /// A ghost has ended; by a signal, or with 0.
    public mutating func ghostDied(signal: Int32, ghost: Int, effects: inout [Effect]) {
        guard !ghosts[ghost].isDead else { return }
        leave(ghost)
        // Only SIGKILL ends a ghost that was not told to.
        guard ghosts[ghost].order == nil else { return }
        forward(
            RankSignal(signal > 0 ? signal : Self.kill, reach: .process), of: ghost,
            effects: &effects)
    }

    /// It is nobody's ghost any more.
    mutating func leave(_ ghost: Int) {
        ghosts[ghost].isAwaiting = false
        ghosts[ghost].isDead = true
        livingCount -= 1
    }

    // MARK: Signals to ranks

    private mutating func sendStop(
        _ signal: Int32, _ reach: SignalReach, to ghost: Int, effects: inout [Effect]
    ) {
        ghosts[ghost].stopReach = reach
        sendNumbered(signal, reach, to: ghost, effects: &effects)
    }

    /// All whom the stop has reached go on.
    private mutating func sendGo(
        _ reach: SignalReach, to ghost: Int, effects: inout [Effect]
    ) {
        let stopped = ghosts[ghost].stopReach
        ghosts[ghost].stopReach = nil
        ghosts[ghost].rankHasStopped = false
        sendNumbered(Self.go, stopped ?? reach, to: ghost, effects: &effects)
    }

    private mutating func sendNumbered(
        _ signal: Int32, _ reach: SignalReach, to ghost: Int, effects: inout [Effect]
    ) {
        let next = ghosts[ghost].sequence &+ 1
        // 0 is no number.
        ghosts[ghost].sequence = max(next, 1)
        forward(
            RankSignal(signal, reach: reach, sequence: ghosts[ghost].sequence), of: ghost,
            effects: &effects)
    }

    private mutating func forward(
        _ signal: RankSignal, of ghost: Int, effects: inout [Effect]
    ) {
        switch ghosts[ghost].rank {
        case .awaited:
            if ghosts[ghost].early.count < Self.earlyLimit { ghosts[ghost].early.append(signal) }
        case .running: effects.append(.forward(rank: ghost, signal))
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
