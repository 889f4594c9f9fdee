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
        if caller.group == group || caller.supplementaryGroups.contains(group) {
            return mode & 0o010 != 0
        }
        return mode & 0o001 != 0
    }
}

/// The nodes the master is configured for, by number.
public struct NodeTable: Sendable {
    public private(set) var records: [NodeRecord]
    /// The slave of the front end itself, where processes go that move home. It is no node of the
    /// list.
    public private(set) var frontEnd = NodeRecord(node: Self.frontEndNumber)
    public static let frontEndNumber: Int32 = -1
    private var nodeOfLink: [LinkID: Int32] = [:]

    /// Nodes are numbered 0 ..< count.
    public init(count: Int) {
        records = (0..<Int32(count)).map { NodeRecord(node: $0) }
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
        record.mode = 0o111
        record.incarnation = hello.incarnation
        record.heardNanoseconds = now
        change(node) { $0 = record }
        nodeOfLink[link] = node
        return .success(node)
    }

    private mutating func change(_ node: Int32, _ body: (inout NodeRecord) -> Void) {
        if node == Self.frontEndNumber {
            body(&frontEnd)
        } else {
            body(&records[Int(node)])
        }
    }

    mutating func lose(_ link: LinkID) -> Int32? {
        guard let node = nodeOfLink.removeValue(forKey: link) else { return nil }
        change(node) { $0 = NodeRecord(node: node) }
        return node
    }

    mutating func heard(_ link: LinkID, now: UInt64) {
        if let node = nodeOfLink[link] { change(node) { $0.heardNanoseconds = now } }
    }
}

public struct AdmissionRefusal: Error, Equatable, Sendable {
    public let sentence: String
}
