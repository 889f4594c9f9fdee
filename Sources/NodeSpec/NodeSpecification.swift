/// Which nodes a user means, as written: `0-3,7`, `n[0-63,70]`, `0-63:2`, `n12-`, `@rack1`,
/// `master`, `all`, `up`, `notdown`, `!7`.
///
/// Order and repetition count: a node that is written twice runs the program twice. What follows
/// `!` is taken away from everything else, wherever it stands.
public struct NodeSpecification: Equatable, Sendable {
    /// One element of the comma list.
    public enum Term: Hashable, Sendable {
        /// `7` or `a-b`.
        case numbers(ClosedRange<NodeNumber>)
        /// `a-b:s`, with `b` the last number that the steps reach, and `s` at least 2.
        case stepped(ClosedRange<NodeNumber>, by: Int32)
        /// `a-`, `a-:s`: from `a` to the highest node there is.
        case numbersFrom(NodeNumber, by: Int32 = 1)
        /// The front end itself.
        case master
        /// Every node but the front end.
        case all
        /// `up`, `allup`: nodes in this state.
        case inState(String)
        /// `notdown`, `allnotdown`: nodes in any other state.
        case notInState(String)
    }

    /// The elements in the order they were written; at least one. Brackets and groups stand here as
    /// the ranges that they hold; if only exclusions were written, this is `all`.
    public let terms: [Term]
    /// What was written behind `!`.
    public let excluded: [Term]

    init(terms: [Term], excluded: [Term] = []) {
        self.terms = terms.isEmpty ? [.all] : terms
        self.excluded = excluded
    }

    /// A longer text is refused before it is read. 10 000 single numbers fit.
    public static let textByteLimit = 256 << 10
    /// No list of nodes that a specification names may be longer. All ranges with a step together
    /// hold no more numbers, and all groups no more ranges.
    public static let nodeCountLimit = 1 << 20
    /// Bytes of a group's name.
    public static let groupNameByteLimit = 63
    /// Bytes of a state's name (`BPROC_STATE_LEN` less its terminator).
    public static let stateByteLimit = 15
}

extension NodeSpecification: CustomStringConvertible {
    /// The specification in its shortest spelling; reading it back gives the same value.
    public var description: String {
        (terms.map(\.description) + excluded.map { "!\($0)" }).joined(separator: ",")
    }
}

extension NodeSpecification.Term: CustomStringConvertible {
    public var description: String {
        switch self {
        case .numbers(let range):
            range.lowerBound == range.upperBound
                ? "\(range.lowerBound)" : "\(range.lowerBound)-\(range.upperBound)"
        case .stepped(let range, let step): "\(range.lowerBound)-\(range.upperBound):\(step)"
        case .numbersFrom(let first, let step): step == 1 ? "\(first)-" : "\(first)-:\(step)"
        case .master: "master"
        case .all: "all"
        case .inState(let name): Self.readsAsState(name) ? name : "all\(name)"
        case .notInState(let name): "not\(name)"
        }
    }

    /// Whether a state's name means the state when it stands alone: it begins with a letter, and no
    /// other reading comes first.
    private static func readsAsState(_ name: String) -> Bool {
        let startsAsNumber =
            name.hasPrefix("n") && name.dropFirst().first?.isNumber ?? false
        return name.first?.isLetter == true && !startsAsNumber && name != "master"
            && !name.hasPrefix("all")
    }
}
