public import Wire

/// What a node has been told to do, until it has answered.
struct PendingControl {
    let node: Int32
    let control: NodeControl
}

// Orders to nodes: for root. What a node carries out, its own configuration says.
extension MasterState {
    /// Tells a node to do something with itself.
    /// - Returns: the order's number, which the effect `nodeAnswered` will name.
    public mutating func control(
        _ node: Int32, _ control: NodeControl, by caller: Caller, effects: inout [MasterEffect]
    ) throws(NodeRefusal) -> UInt32 {
        let record = try nodes.changeableRecord(of: node)
        guard caller.user == 0 else {
            throw NodeRefusal(
                FailureCode.notPermitted, "user \(caller.user) may not control nodes")
        }
        guard let link = record.link, record.isReachable else {
            throw NodeRefusal(FailureCode.nodeDown, "node \(node) is \(record.shownState)")
        }
        if case .changeRoot(let path) = control {
            guard path.utf8.first == UInt8(ascii: "/") else {
                throw NodeRefusal(
                    FailureCode.invalidArgument, "the path '\(path)' does not begin with /")
            }
            guard path.utf8.count <= NodeControl.pathByteLimit else {
                throw NodeRefusal(FailureCode.nameTooLong, "the path is too long")
            }
        }
        if case .reconnect(let remote, let local) = control {
            guard remote.family != .none, remote.port != 0,
                local.family == .none || local.family == remote.family
            else {
                throw NodeRefusal(
                    FailureCode.invalidArgument,
                    "'\(remote)' from '\(local)' is no way to connect")
            }
        }
        let number = nextControl
        nextControl &+= 1
        controls[number] = PendingControl(node: node, control: control)
        effects.append(.note("node \(node): \(control.sentence), by user \(caller.user)"))
        effects.append(.control(link, frame: control.frame(number: number)))
        return number
    }

    mutating func receive(
        _ answer: NodeControlAnswer, number: UInt32, from node: Int32, now: UInt64,
        effects: inout [MasterEffect]
    ) {
        guard let pending = controls[number], pending.node == node else { return }
        controls[number] = nil
        let refusal =
            answer.errorNumber == 0
            ? nil : NodeRefusal(answer.errorNumber, "node \(node): \(answer.reason)")
        effects.append(.nodeAnswered(order: number, refusal))
        guard refusal == nil, pending.control.endsNode,
            let link = nodes.record(of: node)?.link
        else { return }
        // It waits for the end of its link before it does what it was told.
        let reason = "told to \(pending.control.sentence)"
        effects.append(.refuse(link, reason: reason))
        controlIsLost(link, reason: reason, now: now, effects: &effects)
    }

    /// The node is gone: who waits for its answer hears that.
    mutating func giveUpControls(of node: Int32, effects: inout [MasterEffect]) {
        for (number, pending) in controls.sorted(by: { $0.key < $1.key })
        where pending.node == node {
            controls[number] = nil
            effects.append(
                .nodeAnswered(
                    order: number,
                    NodeRefusal(FailureCode.slaveDied, "node \(node) ended before it answered")))
        }
    }
}

extension NodeControl {
    /// As it stands behind "told to".
    var sentence: String {
        switch self {
        case .changeRoot(let path): "make \(path) its root"
        case .reboot: "reboot"
        case .halt: "halt"
        case .powerOff: "power off"
        case .reconnect(let remote, let local):
            local.family == .none
                ? "reconnect to \(remote)" : "reconnect to \(remote), from \(local)"
        }
    }
}
