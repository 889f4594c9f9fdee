public import BProc

/// In what order nodes are shown.
public enum NodeOrder: Sendable {
    case number
    /// By state, and nodes of the same state by number.
    case state
    /// As they were asked for.
    case asked

    public func sorted(_ nodes: [Cluster.Node], isReversed: Bool = false) -> [Cluster.Node] {
        let sorted =
            switch self {
            case .number: nodes.sorted { $0.number < $1.number }
            case .state: nodes.sorted { ($0.state, $0.number) < ($1.state, $1.number) }
            case .asked: nodes
            }
        return isReversed ? sorted.reversed() : sorted
    }
}
