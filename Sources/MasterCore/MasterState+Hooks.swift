import Relay

// The site's programs for nodes that come and go. Until the one for its coming has ended well, a
// node is root's alone.
extension MasterState {
    /// A hook that has been begun has ended, or could not begin.
    public mutating func hookEnded(
        _ number: UInt32, _ outcome: HookOutcome, now: UInt64, effects: inout [MasterEffect]
    ) {
        guard let (run, outcome) = hooks.ended(number, outcome) else { return }
        if outcome != .exited(0) { metrics.hookFailureCounts[run.kind, default: 0] += 1 }
        let what = "node \(run.node): the \(run.kind.rawValue) hook"
        switch outcome {
        case .exited(0): effects.append(.note("\(what) has ended", about: .hook))
        case .exited(let status):
            effects.append(.warning("\(what) has failed: status \(status)", about: .hook))
        case .overdue:
            let seconds = configuration.hooks.timeoutNanoseconds / 1_000_000_000
            effects.append(
                .warning(
                    "\(what) was ended: it took more than \(seconds) seconds", about: .hook))
        case .failed(let reason):
            effects.append(.warning("\(what) cannot be run: \(reason)", about: .hook))
        }
        if run.kind == .nodeUp {
            nodes.bootEnded(run.node, hook: number, isWell: outcome == .exited(0))
        }
        startHooks(now: now, effects: &effects)
    }

    mutating func startHooks(now: UInt64, effects: inout [MasterEffect]) {
        for run in hooks.takeStarting(now: now) {
            metrics.hookRunCounts[run.kind, default: 0] += 1
            effects.append(.beginHook(run))
        }
    }

    mutating func endOverdueHooks(now: UInt64, effects: inout [MasterEffect]) {
        for run in hooks.takeOverdue(now: now) { effects.append(.endHook(run)) }
    }

    /// A node has been let in.
    mutating func nodeHasCome(_ node: Int32, now: UInt64, effects: inout [MasterEffect]) {
        guard node != NodeTable.frontEndNumber, let hook = hooks.want(.nodeUp, node: node) else {
            return
        }
        nodes.boot(node, hook: hook)
        startHooks(now: now, effects: &effects)
    }

    mutating func nodeHasGone(_ node: Int32, now: UInt64, effects: inout [MasterEffect]) {
        guard node != NodeTable.frontEndNumber else { return }
        let (ending, hadBegun) = hooks.nodeIsGone(node)
        for run in ending { effects.append(.endHook(run)) }
        guard hadBegun, hooks.want(.nodeDown, node: node) != nil else { return }
        startHooks(now: now, effects: &effects)
    }
}

extension NodeTable {
    /// The node waits for its hook: it is there, but only root may use it.
    mutating func boot(_ node: Int32, hook: UInt32) {
        guard var record = record(of: node) else { return }
        record.state = NodeRecord.boot
        record.mode = 0o100
        record.user = 0
        record.group = 0
        record.hook = hook
        replace(node, by: record)
    }

    /// The hook of this node has ended. What it has set itself stays.
    mutating func bootEnded(_ node: Int32, hook: UInt32, isWell: Bool) {
        guard var record = record(of: node), record.isUp, record.hook == hook else { return }
        record.hook = nil
        if record.state == NodeRecord.boot {
            record.state = isWell ? NodeRecord.up : NodeRecord.error
        }
        if record.state == NodeRecord.up, record.mode == 0o100, record.user == 0, record.group == 0
        {
            record.mode = newcomers.mode
            record.user = newcomers.user
            record.group = newcomers.group
        }
        replace(node, by: record)
    }
}
