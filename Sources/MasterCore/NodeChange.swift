/// One change of a node's entry in the table.
public enum NodeChange: Equatable, Sendable {
    /// `NodeRecord.down` disconnects the node.
    case state(String)
    case mode(UInt32)
    case user(UInt32)
    case group(UInt32)
    case attribute(name: String, value: [UInt8])

    static let executeBits: UInt32 = 0o111

    /// As a log line has it.
    var sentence: String {
        switch self {
        case .state(let state): "state \(state)"
        case .mode(let mode): "mode \(String(mode, radix: 8))"
        case .user(let user): "user \(user)"
        case .group(let group): "group \(group)"
        case .attribute(let name, let value): "attribute \(name) of \(value.count) bytes"
        }
    }
}

/// Why something is not done to a node: an error number, and a sentence for a person.
public struct NodeRefusal: Error, Equatable, Sendable {
    public let errorNumber: Int32
    public let sentence: String

    public init(_ errorNumber: Int32, _ sentence: String) {
        self.errorNumber = errorNumber
        self.sentence = sentence
    }
}

/// Limits of the public header: BPROC_STATE_LEN and BPROC_XATTR_….
public enum NodeLimit {
    public static let stateByteCount = 15
    public static let attributeCount = 32
    public static let attributeNameByteCount = 63
    public static let attributeValueByteCount = 64
}
