/// The site's names for sets of nodes, which a specification uses as `@name`.
public struct NodeGroups: Equatable, Sendable {
    /// By name; no set is empty.
    public private(set) var sets: [String: NodeSet] = [:]

    /// All groups as text may have this many bytes, so that they fit a message of any protocol.
    public static let textByteLimit = 256 << 10

    public init() {}

    /// Adds a group.
    /// - Parameter specification: numbers and ranges only, as the group must be the same for
    ///   everybody at all times.
    public mutating func add(
        _ name: String, _ specification: String
    ) throws(NodeSpecificationError) {
        try Self.check(name)
        let parsed = try NodeSpecification(parsing: specification)
        guard let set = parsed.numbers else {
            throw NodeSpecificationError(
                "a group holds numbers and ranges only", at: 0, in: Array(specification.utf8))
        }
        sets[name] = set
    }

    /// Reads what `text` writes.
    public init(parsing text: String) throws(NodeSpecificationError) {
        for line in text.split(separator: "\n") {
            let parts = line.split(separator: "=", maxSplits: 1)
            guard parts.count == 2 else {
                throw NodeSpecificationError(
                    "a group is a name, =, and its nodes", at: 0, in: Array(line.utf8.prefix(64)))
            }
            try add(String(parts[0]), String(parts[1]))
        }
    }

    /// One line for each group, `name=0-63,70`, in the order of the names: also what travels to
    /// libbproc.
    public var text: String {
        sets.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)\n" }.joined()
    }

    private static func check(_ name: String) throws(NodeSpecificationError) {
        let bytes = Array(name.utf8)
        if let place = bytes.firstIndex(where: { !$0.isGroupByte }) {
            throw NodeSpecificationError(
                "the name of a group has letters, digits and _ . - only", at: place, in: bytes)
        }
        guard !bytes.isEmpty, bytes.count <= NodeSpecification.groupNameByteLimit else {
            throw NodeSpecificationError(
                "the name of a group has 1 to \(NodeSpecification.groupNameByteLimit) characters",
                at: 0, in: Array(bytes.prefix(64)))
        }
    }
}

extension NodeSpecification {
    /// The set that is named, if it is named by bounded numbers alone.
    public var numbers: NodeSet? {
        func set(of terms: [Term]) -> NodeSet? {
            var ranges: [ClosedRange<NodeNumber>] = []
            for term in terms {
                switch term {
                case .numbers(let range): ranges.append(range)
                case .stepped(let range, let step):
                    ranges += range.numbers(by: step).map { $0...$0 }
                default: return nil
                }
            }
            return NodeSet(ranges: ranges)
        }
        guard let wanted = set(of: terms), let unwanted = set(of: excluded) else { return nil }
        let set = wanted.subtracting(unwanted)
        return set.isEmpty ? nil : set
    }
}
