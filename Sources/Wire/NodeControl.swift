/// What a node is told to do with itself.
public enum NodeControl: Equatable, Sendable {
    /// This directory becomes "/" for everything that is started later.
    case changeRoot(String)
    case reboot
    case halt
    case powerOff
    /// Connect to the master anew, by this address of its, from this one of the node's own;
    /// `.unspecified`: any.
    case reconnect(NodeAddress, from: NodeAddress)

    public static let pathByteLimit = 4095

    /// The node leaves the cluster first.
    public var endsNode: Bool {
        switch self {
        case .changeRoot, .reconnect: false
        case .reboot, .halt, .powerOff: true
        }
    }

    /// - Parameter number: chosen by the master, repeated in the answer.
    public func frame(number: UInt32) -> [UInt8] {
        var writer = WireWriter()
        switch self {
        case .changeRoot(let path):
            writer.write(UInt8(1))
            writer.write(text: path, limit: Self.pathByteLimit)
        case .reboot: writer.write(UInt8(2))
        case .halt: writer.write(UInt8(3))
        case .powerOff: writer.write(UInt8(4))
        case .reconnect(let remote, let local):
            writer.write(UInt8(5))
            remote.write(to: &writer)
            local.write(to: &writer)
        }
        return FrameHeader.frame(FrameHeader(.nodeControl, subject: number), body: writer.bytes)
    }

    public init(decoding body: [UInt8]) throws(WireError) {
        var reader = WireReader(body)
        let kind = try reader.read(UInt8.self, "node control")
        switch kind {
        case 1:
            self = .changeRoot(try reader.readText(limit: Self.pathByteLimit, "new root"))
        case 2: self = .reboot
        case 3: self = .halt
        case 4: self = .powerOff
        case 5:
            let remote = try NodeAddress(from: &reader)
            self = .reconnect(remote, from: try NodeAddress(from: &reader))
        default: throw .invalidValue(field: "node control", value: UInt64(kind))
        }
        try reader.finish()
    }
}

/// A node's answer: it has done so, or is about to; or why not.
public struct NodeControlAnswer: Equatable, Sendable {
    /// 0: done.
    public var errorNumber: Int32
    public var reason: String

    static let reasonByteLimit = 159

    public init(errorNumber: Int32 = 0, reason: String = "") {
        self.errorNumber = errorNumber
        self.reason = reason
    }

    public func frame(number: UInt32) -> [UInt8] {
        var writer = WireWriter()
        writer.write(errorNumber)
        writer.write(text: reason, limit: Self.reasonByteLimit)
        return FrameHeader.frame(
            FrameHeader(.nodeControlled, subject: number), body: writer.bytes)
    }

    public init(decoding body: [UInt8]) throws(WireError) {
        var reader = WireReader(body)
        errorNumber = try reader.read(Int32.self, "node control error")
        guard errorNumber >= 0 else {
            throw .invalidValue(
                field: "node control error", value: UInt64(UInt32(bitPattern: errorNumber)))
        }
        reason = try reader.readText(limit: Self.reasonByteLimit, "node control reason")
        try reader.finish()
    }
}
