import Relay
public import Wire

// What administrators do to nodes.
extension MasterState {
    /// Changes a node's entry in the table; its programs go on as they are, unless the change
    /// disconnects the node.
    public mutating func change(
        _ node: Int32, _ change: NodeChange, by caller: Caller, now: UInt64,
        effects: inout [MasterEffect]
    ) throws(NodeRefusal) {
        let link = try nodes.apply(change, to: node, by: caller)
        effects.append(.note("node \(node): \(change.sentence), by user \(caller.user)"))
        guard let link else { return }
        let reason = "user \(caller.user) has set it to down"
        effects.append(.refuse(link, reason: reason))
        controlIsLost(link, reason: reason, now: now, effects: &effects)
    }
}
