import Relay
import Wire

// Who may change what, and what a change may be. The error numbers are those of the classic
// interface, where a node was a file.
extension NodeTable {
    /// The entry of a node that can be changed; the front end is none.
    func changeableRecord(of node: Int32) throws(NodeRefusal) -> NodeRecord {
        guard node != Self.frontEndNumber else {
            throw NodeRefusal(FailureCode.invalidNode, "the front end is no node of the table")
        }
        guard let record = record(of: node) else {
            throw NodeRefusal(FailureCode.invalidNode, "there is no node \(node)")
        }
        return record
    }

    /// Changes a node's entry if the caller may.
    /// - Returns: the link to close, where the change disconnects the node.
    mutating func apply(
        _ change: NodeChange, to node: Int32, by caller: Caller
    ) throws(NodeRefusal) -> LinkID? {
        let record = try changeableRecord(of: node)
        try Self.requireRight(of: caller, to: change, on: record)
        if case .state(NodeRecord.down) = change { return record.link }
        guard record.isUp else { throw Self.refusalOfDownNode(change, node: node) }
        var changed = record
        switch change {
        case .state(let state): changed.state = try Self.checked(state: state)
        case .mode(let mode): changed.mode = mode
        case .user(let user): changed.user = user
        case .group(let group): changed.group = group
        case .attribute(let name, let value): try changed.setAttribute(name, to: value)
        }
        replace(node, by: changed)
        return nil
    }

    /// An attribute that somebody has set.
    public func attribute(_ name: String, of node: Int32) throws(NodeRefusal) -> [UInt8] {
        let record = try changeableRecord(of: node)
        if name == NodeRecord.pidsAttribute, record.isUp {
            return Array((record.givesPids ? "front-end" : "own").utf8)
        }
        guard let attribute = record.attributes.first(where: { $0.name == name }) else {
            throw NodeRefusal(
                FailureCode.noData, "node \(node) has no attribute of this name")
        }
        return attribute.value
    }

    /// Root may everything; a node's owner may change its mode, and its group to one of his own.
    private static func requireRight(
        of caller: Caller, to change: NodeChange, on record: NodeRecord
    ) throws(NodeRefusal) {
        if case .mode(let mode) = change, mode & ~NodeChange.executeBits != 0 {
            throw NodeRefusal(
                FailureCode.notPermitted,
                "mode \(String(mode, radix: 8)): a node has the bits 111 only")
        }
        guard caller.user != 0 else { return }
        let isOwner = caller.user == record.user && record.isUp
        let isAllowed =
            switch change {
            case .mode: isOwner
            case .group(let group): isOwner && caller.isMember(of: group)
            case .state, .user, .attribute: false
            }
        guard isAllowed else {
            throw NodeRefusal(
                FailureCode.notPermitted,
                "user \(caller.user) may not change the \(change.noun) of node \(record.node)")
        }
    }

    private static func refusalOfDownNode(_ change: NodeChange, node: Int32) -> NodeRefusal {
        let number =
            switch change {
            case .state: FailureCode.invalidArgument
            case .mode, .user, .group: FailureCode.notPermitted
            case .attribute: FailureCode.noData
            }
        return NodeRefusal(number, "node \(node) is down")
    }

    private static func checked(state: String) throws(NodeRefusal) -> String {
        guard state.utf8.count <= NodeLimit.stateByteCount else {
            throw NodeRefusal(
                FailureCode.noSpace,
                "a state of \(state.utf8.count) characters; \(NodeLimit.stateByteCount) are the "
                    + "most")
        }
        let isWord = state.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "a")...UInt8(ascii: "z"):
                true
            default: false
            }
        }
        guard isWord, !state.isEmpty else {
            throw NodeRefusal(
                FailureCode.invalidArgument, "a state is a word of letters and digits")
        }
        return state
    }
}

extension NodeRecord {
    /// Which pids processes of the node have: "front-end", the same as there, or "own".
    static let pidsAttribute = "pids"

    mutating func setAttribute(_ name: String, to value: [UInt8]) throws(NodeRefusal) {
        guard !name.isEmpty else {
            throw NodeRefusal(FailureCode.invalidArgument, "an attribute without a name")
        }
        guard name != "addr", name != Self.pidsAttribute else {
            throw NodeRefusal(FailureCode.notPermitted, "a node's \(name) cannot be set")
        }
        guard name.utf8.count <= NodeLimit.attributeNameByteCount else {
            throw NodeRefusal(
                FailureCode.noSpace,
                "a name of \(name.utf8.count) bytes; \(NodeLimit.attributeNameByteCount) are the "
                    + "most")
        }
        guard value.count <= NodeLimit.attributeValueByteCount else {
            throw NodeRefusal(
                FailureCode.noSpace,
                "a value of \(value.count) bytes; \(NodeLimit.attributeValueByteCount) are the "
                    + "most")
        }
        if let index = attributes.firstIndex(where: { $0.name == name }) {
            attributes[index].value = value
            return
        }
        guard attributes.count < NodeLimit.attributeCount else {
            throw NodeRefusal(
                FailureCode.noSpace,
                "node \(node) has \(NodeLimit.attributeCount) attributes, which are the most")
        }
        attributes.append(NodeAttribute(name: name, value: value))
    }
}

extension NodeChange {
    fileprivate var noun: String {
        switch self {
        case .state: "state"
        case .mode: "mode"
        case .user: "user"
        case .group: "group"
        case .attribute: "attributes"
        }
    }
}
