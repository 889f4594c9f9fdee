/// Child counts that describe no tree.
public enum RelayPlanError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The counts do not begin with the root's, or are not one more than the nodes.
    case wrongCount(nodeCount: Int, childCountCount: Int)
    /// A member claims a negative number of children, or more than there are entries after it.
    case tooManyChildren(position: Int, childCount: Int)
    /// All members have their children and entries are left over.
    case unconnected(position: Int)
    /// The entries end and a member still lacks children.
    case missingChildren(position: Int, childCount: Int)

    public var description: String {
        switch self {
        case .wrongCount(let nodeCount, let childCountCount):
            "a tree of \(nodeCount) nodes needs \(nodeCount + 1) child counts, "
                + "not \(childCountCount)"
        case .tooManyChildren(let position, let childCount):
            "the member at position \(position) claims \(childCount) children, "
                + "more than come after it"
        case .unconnected(let position):
            "position \(position) has no parent: all members before it have their children"
        case .missingChildren(let position, let childCount):
            "the member at position \(position) lacks \(childCount) children"
        }
    }
}
