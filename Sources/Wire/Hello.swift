/// The first frame in each direction of a link: who is there, and whether the two can work
/// together.
public struct Hello: Equatable, Sendable {
    public enum Role: UInt8, Sendable {
        /// A slave on its control link to the master.
        case slave = 1
        /// A relay that connects to a child of its tree.
        case relay = 2
    }

    public var role: Role
    /// Machine architecture, the public header's tag: x86-64 is 4.
    public var architecture: UInt32
    /// The node number the sender has or claims; -1 for the master's own relay links, -3 for none.
    public var node: Int32
    /// Where the sender's relay port listens; `.unspecified` octets mean "the address you see".
    public var address: NodeAddress
    /// Differs for each start of the daemon, so that a restarted slave is never taken for the old
    /// one.
    public var incarnation: UInt64
    /// The machine that the sender runs on, with others perhaps.
    public var machine: Machine
    public var features: Features
    /// A slave's place with the master that it had; `.none`: it comes anew.
    public var membership = Membership.none
    /// Counted frames that it has received from that master.
    public var receivedCount: UInt64 = 0
    /// Processes that the slave would take along to a master that does not know it.
    public var keptCount: UInt32 = 0
    /// The product's version, for the sentence of a refusal.
    public var version: String

    public static let architectureX8664: UInt32 = 4
    public static let noNode: Int32 = -3
    static let textLimit = 64

    /// What a slave can do that not every one can.
    public struct Features: OptionSet, Equatable, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        /// It gives processes the pids of the front end.
        public static let givesPids = Features(rawValue: 1)
    }

    /// Daemons with the same identity share one kernel and its processors, whatever their addresses
    /// are.
    public struct Machine: Equatable, Hashable, Sendable {
        /// Of the kernel that was booted; 0: not known.
        public var identity: UInt64
        /// Processor cores; 0: not known.
        public var coreCount: UInt16

        public init(identity: UInt64, coreCount: UInt16) {
            self.identity = identity
            self.coreCount = coreCount
        }

        public static let unknown = Machine(identity: 0, coreCount: 0)
    }

    public init(
        role: Role, node: Int32, address: NodeAddress, incarnation: UInt64,
        machine: Machine = .unknown, features: Features = [],
        architecture: UInt32 = Hello.architectureX8664,
        version: String = ProductVersion.text
    ) {
        self.role = role
        self.architecture = architecture
        self.node = node
        self.address = address
        self.incarnation = incarnation
        self.machine = machine
        self.features = features
        self.version = version
    }

    public var frame: [UInt8] {
        var writer = WireWriter()
        writer.write(role.rawValue)
        writer.write(features.rawValue)
        writer.write(machine.coreCount)
        writer.write(architecture)
        writer.write(node)
        address.write(to: &writer)
        writer.write(incarnation)
        writer.write(machine.identity)
        membership.write(to: &writer)
        writer.write(receivedCount)
        writer.write(keptCount)
        writer.write(text: version, limit: Self.textLimit)
        return FrameHeader.frame(FrameHeader(.hello), body: writer.bytes)
    }

    public init(decoding body: [UInt8]) throws(WireError) {
        var reader = WireReader(body)
        let rawRole = try reader.read(UInt8.self, "hello role")
        guard let role = Role(rawValue: rawRole) else {
            throw .invalidValue(field: "hello role", value: UInt64(rawRole))
        }
        let features = Features(rawValue: try reader.read(UInt8.self, "hello features"))
        let coreCount = try reader.read(UInt16.self, "hello core count")
        let architecture = try reader.read(UInt32.self, "hello architecture")
        let node = try reader.read(Int32.self, "hello node")
        let address = try NodeAddress(from: &reader)
        let incarnation = try reader.read(UInt64.self, "hello incarnation")
        let identity = try reader.read(UInt64.self, "hello machine identity")
        let membership = try Membership(from: &reader, "hello membership")
        let receivedCount = try reader.read(UInt64.self, "hello received count")
        let keptCount = try reader.read(UInt32.self, "hello kept count")
        let version = try reader.readText(limit: Self.textLimit, "hello version")
        try reader.finish()
        self.init(
            role: role, node: node, address: address, incarnation: incarnation,
            machine: Machine(identity: identity, coreCount: coreCount), features: features,
            architecture: architecture, version: version)
        self.membership = membership
        self.receivedCount = receivedCount
        self.keptCount = keptCount
    }

    /// The sentence that refuses a peer this side cannot work with, or nil.
    public func refusalSentence(receiver: String) -> String? {
        guard architecture != Self.architectureX8664 else { return nil }
        let theirs = Self.architectureName(architecture)
        return "\(receiver) runs on x86-64, the peer (node \(node), bproc \(version)) runs on "
            + "\(theirs): one cluster holds one CPU architecture"
    }

    public static func architectureName(_ tag: UInt32) -> String {
        switch tag {
        case 1: "x86"
        case 2: "Alpha"
        case 3: "PowerPC"
        case 4: "x86-64"
        case 5: "PowerPC64"
        default: "architecture \(tag)"
        }
    }
}

/// A sentence that ends a link.
public struct Refusal: Equatable, Sendable {
    public var sentence: String

    public init(_ sentence: String) { self.sentence = sentence }

    public var frame: [UInt8] {
        var writer = WireWriter()
        writer.write(text: sentence, limit: 2048)
        return FrameHeader.frame(FrameHeader(.refusal), body: writer.bytes)
    }

    public init(decoding body: [UInt8]) throws(WireError) {
        var reader = WireReader(body)
        sentence = try reader.readText(limit: 2048, "refusal")
        try reader.finish()
    }
}

public enum ProductVersion {
    public static let text = "0.1.0"
}
