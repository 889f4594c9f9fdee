public import Relay
public import Wire

/// One node as the master knows it.
public struct NodeRecord: Equatable, Sendable {
    public let node: Int32
    /// Free-form, at most 15 characters; only "down" has a meaning of its own: not connected.
    public var state: String
    public var address: NodeAddress
    /// Execute bits, file-like.
    public var mode: UInt32
    public var user: UInt32
    public var group: UInt32
    public var link: LinkID?
    public var incarnation: UInt64 = 0
    /// What the site says of the node while it is connected, in the order it was said.
    public internal(set) var attributes: [NodeAttribute] = []
    public var machine = Hello.Machine.unknown
    var heardNanoseconds: UInt64 = 0

    public static let down = "down"
    public static let up = "up"

    public var isUp: Bool { link != nil }

    init(node: Int32) {
        self.node = node
        state = Self.down
        address = .unspecified
        mode = 0
        user = 0
        group = 0
    }

    /// Whether a user may start processes here: root may, others by the execute bits.
    func permits(_ caller: Caller) -> Bool {
        if caller.user == 0 { return true }
        if caller.user == user { return mode & 0o100 != 0 }
        return mode & (caller.isMember(of: group) ? 0o010 : 0o001) != 0
    }

    /// What everybody is shown of it.
    fileprivate func looksLike(_ other: NodeRecord) -> Bool {
        state == other.state && address == other.address && mode == other.mode
            && user == other.user && group == other.group && attributes == other.attributes
    }
}

/// A name and a value that the site has given a node.
public struct NodeAttribute: Equatable, Sendable {
    public let name: String
    public var value: [UInt8]
}

/// Who may use a node that has just connected.
public struct NodePermission: Equatable, Sendable {
    /// Execute bits, file-like.
    public var mode: UInt32
    public var user: UInt32
    public var group: UInt32

    public init(mode: UInt32 = 0o111, user: UInt32 = 0, group: UInt32 = 0) {
        self.mode = mode
        self.user = user
        self.group = group
    }
}

extension Caller {
    func isMember(of wanted: UInt32) -> Bool {
        group == wanted || supplementaryGroups.contains(wanted)
    }
}

/// The nodes the master is configured for, by number.
public struct NodeTable: Sendable {
    public private(set) var records: [NodeRecord]
    /// The slave of the front end itself, where processes go that move home. It is no node of the
    /// list.
    public private(set) var frontEnd = NodeRecord(node: Self.frontEndNumber)
    public static let frontEndNumber: Int32 = -1
    /// Differs after every change of what is shown of a node of the list.
    public private(set) var revision: UInt64 = 0
    private let newcomers: NodePermission
    private var nodeOfLink: [LinkID: Int32] = [:]

    /// Nodes are numbered 0 ..< count.
    /// - Parameter newcomers: who may use a node that connects, until somebody changes it.
    public init(count: Int, newcomers: NodePermission = NodePermission()) {
        records = (0..<Int32(count)).map { NodeRecord(node: $0) }
        self.newcomers = newcomers
    }

    public var count: Int { records.count }
    public var upCount: Int { nodeOfLink.count }
    /// Every slave that is connected, the front end's as well.
    var connected: [NodeRecord] { (records + [frontEnd]).filter(\.isUp) }

    public func record(of node: Int32) -> NodeRecord? {
        if node == Self.frontEndNumber { return frontEnd }
        guard node >= 0, Int(node) < records.count else { return nil }
        return records[Int(node)]
    }

    public func node(of link: LinkID) -> Int32? { nodeOfLink[link] }

    /// Lets a slave in under the number it claims (or the lowest free one), or says why not.
    ///
    /// - Parameter isLocal: it has connected from the master's own machine; the front end's slave
    ///   must.
    mutating func admit(
        _ hello: Hello, address: NodeAddress, isLocal: Bool, link: LinkID, now: UInt64
    ) -> Result<Int32, AdmissionRefusal> {
        if let sentence = hello.refusalSentence(receiver: "this master") {
            return .failure(AdmissionRefusal(sentence: sentence))
        }
        var node = hello.node
        if node == Hello.noNode {
            guard let free = records.first(where: { !$0.isUp }) else {
                return .failure(
                    AdmissionRefusal(sentence: "all \(records.count) nodes are connected"))
            }
            node = free.node
        }
        guard let known = record(of: node) else {
            return .failure(
                AdmissionRefusal(
                    sentence: "node \(node) is not configured: this master has nodes 0 to "
                        + "\(records.count - 1)"))
        }
        guard isLocal || node != Self.frontEndNumber else {
            return .failure(
                AdmissionRefusal(
                    sentence: "the front end's slave runs beside the master, not at \(address)"))
        }
        guard !known.isUp else {
            return .failure(
                AdmissionRefusal(
                    sentence: "node \(node) is connected already, from \(known.address)"))
        }
        var record = known
        record.link = link
        record.state = NodeRecord.up
        record.address = address
        record.mode = newcomers.mode
        record.user = newcomers.user
        record.group = newcomers.group
        record.incarnation = hello.incarnation
        record.machine = hello.machine
        record.heardNanoseconds = now
        replace(node, by: record)
        nodeOfLink[link] = node
        return .success(node)
    }

    mutating func replace(_ node: Int32, by record: NodeRecord) {
        if node == Self.frontEndNumber {
            frontEnd = record
        } else {
            if !records[Int(node)].looksLike(record) { revision += 1 }
            records[Int(node)] = record
        }
    }

    mutating func lose(_ link: LinkID) -> Int32? {
        guard let node = nodeOfLink.removeValue(forKey: link) else { return nil }
        replace(node, by: NodeRecord(node: node))
        return node
    }

    mutating func heard(_ link: LinkID, now: UInt64) {
        guard let node = nodeOfLink[link] else { return }
        if node == Self.frontEndNumber {
            frontEnd.heardNanoseconds = now
        } else {
            records[Int(node)].heardNanoseconds = now
        }
    }
}

public struct AdmissionRefusal: Error, Equatable, Sendable {
    public let sentence: String
}
