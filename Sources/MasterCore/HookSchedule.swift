/// When the site's program is run for a node.
public enum HookKind: String, Hashable, Sendable {
    case nodeUp = "node-up"
    case nodeDown = "node-down"
}

/// One run of a hook.
public struct HookRun: Hashable, Sendable {
    /// Differs for every run.
    public let number: UInt32
    public let kind: HookKind
    public let node: Int32
}

/// How a hook has ended.
public enum HookOutcome: Equatable, Sendable {
    /// Its exit status, or 128 and the signal that ended it.
    case exited(Int32)
    /// It was ended because it took too long.
    case overdue
    /// It could not be started.
    case failed(String)
}

/// Which hooks there are, how many may run at a time, and how long each.
public struct HookLimits: Equatable, Sendable {
    public var kinds: Set<HookKind> = []
    public var runningCount = 16
    public var timeoutNanoseconds: UInt64 = 300_000_000_000

    public init() {}
}

/// Which hooks run, and which wait: a limited number at a time, and for one node one after another.
struct HookSchedule: Sendable {
    private struct Running {
        let run: HookRun
        let deadlineNanoseconds: UInt64
        var isEnding = false
        var isOverdue = false
    }

    var limits: HookLimits
    private var waiting: [HookRun] = []
    private var running: [UInt32: Running] = [:]
    private var busyNodes: Set<Int32> = []
    private var nextNumber: UInt32 = 1

    init(_ limits: HookLimits) { self.limits = limits }

    var runningCount: Int { running.count }
    var waitingCount: Int { waiting.count }

    /// - Returns: the run's number; nil: there is no such hook.
    mutating func want(_ kind: HookKind, node: Int32) -> UInt32? {
        guard limits.kinds.contains(kind) else { return nil }
        let number = nextNumber
        nextNumber &+= 1
        waiting.append(HookRun(number: number, kind: kind, node: node))
        return number
    }

    /// The node is gone: what was to be done for it when it came is not any more.
    /// - Returns: what has to be ended, and whether a hook for its coming had begun.
    mutating func nodeIsGone(_ node: Int32) -> (ending: [HookRun], hadBegun: Bool) {
        let before = waiting.count
        waiting.removeAll { $0.node == node && $0.kind == .nodeUp }
        guard waiting.count == before else { return ([], false) }
        var ending: [HookRun] = []
        for (number, entry) in running
        where entry.run.node == node && entry.run.kind == .nodeUp && !entry.isEnding {
            running[number]!.isEnding = true
            ending.append(entry.run)
        }
        return (ending, true)
    }

    /// Hooks that can begin now.
    mutating func takeStarting(now: UInt64) -> [HookRun] {
        guard !waiting.isEmpty, running.count < limits.runningCount else { return [] }
        var starting: [HookRun] = []
        var kept: [HookRun] = []
        for run in waiting {
            guard running.count < limits.runningCount, busyNodes.insert(run.node).inserted else {
                kept.append(run)
                continue
            }
            running[run.number] = Running(
                run: run, deadlineNanoseconds: now &+ limits.timeoutNanoseconds)
            starting.append(run)
        }
        waiting = kept
        return starting
    }

    /// Hooks that have taken too long, each once.
    mutating func takeOverdue(now: UInt64) -> [HookRun] {
        var overdue: [HookRun] = []
        for (number, entry) in running where !entry.isEnding && now >= entry.deadlineNanoseconds {
            running[number]!.isEnding = true
            running[number]!.isOverdue = true
            overdue.append(entry.run)
        }
        return overdue
    }

    var deadlineNanoseconds: UInt64 {
        running.values.lazy.filter { !$0.isEnding }.map(\.deadlineNanoseconds).min() ?? .max
    }

    /// - Returns: the run, and what its outcome amounts to; nil: it is not known.
    mutating func ended(
        _ number: UInt32, _ outcome: HookOutcome
    ) -> (run: HookRun, outcome: HookOutcome)? {
        guard let entry = running.removeValue(forKey: number) else { return nil }
        busyNodes.remove(entry.run.node)
        return (entry.run, entry.isOverdue ? .overdue : outcome)
    }
}
