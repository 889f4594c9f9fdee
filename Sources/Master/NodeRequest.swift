import CLocalProtocol
package import LocalProtocol
package import MasterCore
package import Wire

/// What a program asks of one node, as the local protocol has it.
package enum NodeRequest: Equatable, Sendable {
    case attribute(name: String, node: Int32)
    case change(NodeChange, node: Int32)
    case control(NodeControl, node: Int32)
    /// The groups of nodes that the configuration has.
    case groups
    /// The list of libraries.
    case libraries
    case changeLibraries(LibraryList.Change)
    /// What the master has done, for monitoring.
    case metrics

    /// Nothing changes by it, so anybody may ask.
    package var isReading: Bool {
        switch self {
        case .attribute, .groups, .libraries, .metrics: true
        case .change, .control, .changeLibraries: false
        }
    }

    package init(decoding body: [UInt8]) throws(LocalProtocolError) {
        guard let raw = LocalMessage.load(bproc_local_node_request.self, from: body) else {
            throw .tooSmall("node request")
        }
        let limit = UInt32(BPROC_LOCAL_NODE_TEXT_MAX)
        guard raw.name_bytes <= limit, raw.value_bytes <= limit else {
            throw .invalid("a name or value of more than \(limit) bytes")
        }
        let nameStart = MemoryLayout<bproc_local_node_request>.size
        let valueStart = nameStart + Int(raw.name_bytes)
        guard body.count == valueStart + Int(raw.value_bytes) else {
            throw .invalid("a node request of another size than it says")
        }
        let name = body[nameStart..<valueStart]
        let value = Array(body[valueStart...])
        switch bproc_local_node_action(rawValue: raw.action) {
        case BPROC_LOCAL_NODE_GET_ATTRIBUTE:
            self = .attribute(name: try Self.text(name, "name"), node: raw.node)
        case BPROC_LOCAL_NODE_SET_ATTRIBUTE:
            let name = try Self.text(name, "name")
            // The state is an attribute too.
            self = .change(
                name == "state"
                    ? .state(try Self.text(value[...], "state"))
                    : .attribute(name: name, value: value), node: raw.node)
        case BPROC_LOCAL_NODE_SET_STATE:
            self = .change(.state(try Self.text(value[...], "state")), node: raw.node)
        case BPROC_LOCAL_NODE_SET_MODE: self = .change(.mode(raw.number), node: raw.node)
        case BPROC_LOCAL_NODE_SET_USER: self = .change(.user(raw.number), node: raw.node)
        case BPROC_LOCAL_NODE_SET_GROUP: self = .change(.group(raw.number), node: raw.node)
        case BPROC_LOCAL_NODE_CHANGE_ROOT:
            self = .control(.changeRoot(try Self.text(value[...], "path")), node: raw.node)
        case BPROC_LOCAL_NODE_REBOOT: self = .control(.reboot, node: raw.node)
        case BPROC_LOCAL_NODE_HALT: self = .control(.halt, node: raw.node)
        case BPROC_LOCAL_NODE_POWER_OFF: self = .control(.powerOff, node: raw.node)
        case BPROC_LOCAL_NODE_RECONNECT:
            guard let way = LocalMessage.load(bproc_local_way.self, from: value),
                value.count == MemoryLayout<bproc_local_way>.size
            else { throw .invalid("a way to reconnect of another size") }
            self = .control(
                .reconnect(
                    try Self.address(way.master), from: try Self.address(way.own)),
                node: raw.node)
        case BPROC_LOCAL_NODE_GROUPS: self = .groups
        case BPROC_LOCAL_NODE_LIBRARIES: self = .libraries
        case BPROC_LOCAL_NODE_CLEAR_LIBRARIES: self = .changeLibraries(.clear)
        case BPROC_LOCAL_NODE_ADD_LIBRARY:
            self = .changeLibraries(.add(try Self.text(value[...], "library")))
        case BPROC_LOCAL_NODE_REMOVE_LIBRARY:
            self = .changeLibraries(.remove(try Self.text(value[...], "library")))
        case BPROC_LOCAL_NODE_METRICS: self = .metrics
        default: throw .invalid("unknown node action \(raw.action)")
        }
    }

    private static func address(
        _ raw: bproc_local_endpoint
    ) throws(LocalProtocolError) -> NodeAddress {
        let family: NodeAddress.Family
        switch raw.family {
        case 0: family = .none
        case 2: family = .ipv4
        case 10: family = .ipv6
        default: throw .invalid("an address of family \(raw.family)")
        }
        var octets = [16 of UInt8](repeating: 0)
        unsafe withUnsafeBytes(of: raw.address) { bytes in
            for index in 0..<16 { octets[index] = unsafe bytes[index] }
        }
        return NodeAddress(family: family, port: raw.port, octets: octets)
    }

    private static func text(
        _ bytes: ArraySlice<UInt8>, _ what: String
    ) throws(LocalProtocolError) -> String {
        guard !bytes.contains(0), let text = String(validating: bytes, as: UTF8.self) else {
            throw .invalid("the \(what) in a node request is not text")
        }
        return text
    }
}
