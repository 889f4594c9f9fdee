public import NodeSpec
public import Relay
public import Wire

/// One node as the master knows it.
public struct NodeRecord: Equatable, Sendable {
    public let node: Int32
    /// Free-form, at most 15 characters; only "down" has a meaning of its own: not connected.
    public var state: String
    public var address: NodeAddress
    /// Where it has connected from, without the port.
    var peer = NodeAddress.unspecified
    /// Execute bits, file-like.
    public var mode: UInt32
    public var user: UInt32
    public var group: UInt32
    public var link: LinkID?
    public var incarnation: UInt64 = 0
    /// What the site says of the node while it is connected, in the order it was said.
    public internal(set) var attributes: [NodeAttribute] = []
    public var machine = Hello.Machine.unknown
    /// The hook that prepares it.
    var hook: UInt32?
    /// Its processes have the pids of the front end.
    public var givesPids = false
    var heardNanoseconds: UInt64 = 0
    /// What it shows when it comes again by another connection.
    var cookie: UInt64 = 0
    /// Since when its connection has been cut; its place is kept for a while.
    public internal(set) var cutNanoseconds: UInt64?

    public static let down = "down"
    public static let up = "up"
    public static let boot = "boot"
    public static let error = "error"

    /// What is shown while the connection is cut.
    public static let away = "away"

    /// It has a place: its slave is connected, or may come again.
    public var isUp: Bool { link != nil }
    /// It hears what it is told.
    public var isReachable: Bool { link != nil && cutNanoseconds == nil }
    public var shownState: String { isUp && !isReachable ? Self.away : state }

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
        shownState == other.shownState && address == other.address && mode == other.mode
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
    /// In the order of their numbers, which may have gaps.
    public private(set) var records: [NodeRecord]
    /// The slave of the front end itself, where processes go that move home. It is no node of the
    /// list.
    public private(set) var frontEnd = NodeRecord(node: Self.frontEndNumber)
    public static let frontEndNumber: Int32 = -1
    /// Nodes whose connections are cut.
    var cutCount = 0
    /// Differs after every change of what is shown of a node of the list.
    public private(set) var revision: UInt64 = 0
    private(set) var newcomers: NodePermission
    private var nodeOfLink: [LinkID: Int32] = [:]
    /// The address that a node must connect from, and the reverse.
    private var addresses: [Int32: NodeAddress] = [:]
    private var nodeOfAddress: [NodeAddress: Int32] = [:]

    /// - Parameters:
    ///   - addresses: without ports; a node that is not listed may come from anywhere.
    ///   - newcomers: who may use a node that connects, until somebody changes it.
    public init(
        numbers: NodeSet, addresses: [Int32: NodeAddress] = [:],
        newcomers: NodePermission = NodePermission()
    ) {
        records = numbers.map { NodeRecord(node: $0.rawValue) }
        self.newcomers = newcomers
        setAddresses(addresses)
    }

    private mutating func setAddresses(_ addresses: [Int32: NodeAddress]) {
        self.addresses = addresses
        nodeOfAddress = Dictionary(
            addresses.map { ($0.value, $0.key) }, uniquingKeysWith: { first, _ in first })
    }

    /// Connected nodes that another configuration does not have.
    func leavers(numbers: NodeSet, addresses: [Int32: NodeAddress]) -> [NodeRecord] {
        records.filter { record in
            guard record.isUp else { return false }
            guard numbers.contains(NodeNumber(record.node)) else { return true }
            guard let wanted = addresses[record.node] else { return false }
            return !wanted.isSameHost(as: record.peer)
        }
    }

    /// Takes over another configuration; nodes that it does not have must have been lost.
    mutating func reconfigure(
        numbers: NodeSet, addresses: [Int32: NodeAddress], newcomers: NodePermission
    ) {
        self.newcomers = newcomers
        setAddresses(addresses)
        guard !numbers.elementsEqual(records.lazy.map { NodeNumber($0.node) }) else { return }
        var next = records.startIndex
        var merged: [NodeRecord] = []
        merged.reserveCapacity(numbers.count)
        for number in numbers {
            while next < records.endIndex, records[next].node < number.rawValue { next += 1 }
            let isKnown = next < records.endIndex && records[next].node == number.rawValue
            merged.append(isKnown ? records[next] : NodeRecord(node: number.rawValue))
        }
        records = merged
        revision += 1
    }

    public var count: Int { records.count }
    public var upCount: Int { nodeOfLink.count }
    /// Of every slave that is connected.
    public var links: [LinkID] { Array(nodeOfLink.keys) }
    /// Every slave that is connected, the front end's as well.
    var connected: [NodeRecord] { (records + [frontEnd]).filter(\.isUp) }

    public func record(of node: Int32) -> NodeRecord? {
        if node == Self.frontEndNumber { return frontEnd }
        return index(of: node).map { records[$0] }
    }

    /// Where a node stands; without gaps in the numbers that is its number.
    private func index(of node: Int32) -> Int? {
        guard let first = records.first, node >= first.node else { return nil }
        let dense = Int(node) - Int(first.node)
        if dense < records.count, records[dense].node == node { return dense }
        var low = 0
        var high = records.count
        while low < high {
            let middle = (low + high) / 2
            if records[middle].node < node { low = middle + 1 } else { high = middle }
        }
        return low < records.count && records[low].node == node ? low : nil
    }

    public func node(of link: LinkID) -> Int32? { nodeOfLink[link] }

    /// "0 to 7", or, with gaps, "0-7,16-23".
    private var numbersSentence: String {
        let ranges = NodeSet(records.map { NodeNumber($0.node) }).ranges
        guard ranges.count != 1 else { return "\(ranges[0].lowerBound) to \(ranges[0].upperBound)" }
        let shown = NodeSet(ranges: Array(ranges.prefix(16))).description
        return ranges.count > 16 ? shown + ",..." : shown
    }

    /// The number that a slave claims (or the lowest free one), or why it is not let in.
    ///
    /// - Parameters:
    ///   - arrival: where it has come from; the front end's slave must come from the master's own
    ///     machine.
    func place(for hello: Hello, _ arrival: Arrival) -> Result<Int32, AdmissionRefusal> {
        if let sentence = hello.refusalSentence(receiver: "this master") {
            return .failure(AdmissionRefusal(sentence: sentence))
        }
        let host = arrival.host
        let node: Int32
        if hello.node != Hello.noNode {
            node = hello.node
        } else if let own = nodeOfAddress[host] {
            node = own
        } else if let free = records.first(where: { !$0.isUp && addresses[$0.node] == nil }) {
            node = free.node
        } else {
            let sentence =
                addresses.isEmpty
                ? "all \(records.count) nodes are connected" : "no node has the address \(host)"
            return .failure(AdmissionRefusal(sentence: sentence))
        }
        guard let known = record(of: node) else {
            return .failure(
                AdmissionRefusal(
                    sentence: "node \(node) is not configured: this master has nodes "
                        + numbersSentence))
        }
        if let refusal = refusal(of: node, arrival) { return .failure(refusal) }
        // One whose connection is cut has been started again, and left nothing behind.
        guard !known.isReachable else {
            return .failure(
                AdmissionRefusal(
                    sentence: "node \(node) is connected already, from \(known.address)"))
        }
        return .success(node)
    }

    /// Whether a node may come from there, whether it is new or comes again.
    func refusal(of node: Int32, _ arrival: Arrival) -> AdmissionRefusal? {
        if let wanted = addresses[node], !wanted.isSameHost(as: arrival.host) {
            return AdmissionRefusal(
                sentence: "node \(node) is configured with another address than "
                    + "\(arrival.host)")
        }
        guard arrival.isLocal || node != Self.frontEndNumber else {
            return AdmissionRefusal(
                sentence: "the front end's slave runs beside the master, not at "
                    + "\(arrival.address)")
        }
        return nil
    }

    /// Gives a place, which nobody has, to a slave.
    mutating func admit(
        _ hello: Hello, as node: Int32, _ arrival: Arrival, cookie: UInt64, now: UInt64
    ) {
        guard var record = record(of: node) else { return }
        record.link = arrival.link
        record.state = NodeRecord.up
        record.address = arrival.address
        record.peer = arrival.host
        record.mode = newcomers.mode
        record.user = newcomers.user
        record.group = newcomers.group
        record.incarnation = hello.incarnation
        record.cookie = cookie
        record.machine = hello.machine
        record.givesPids = hello.features.contains(.givesPids)
        record.heardNanoseconds = now
        replace(node, by: record)
        nodeOfLink[arrival.link] = node
    }

    mutating func replace(_ node: Int32, by record: NodeRecord) {
        if node == Self.frontEndNumber {
            frontEnd = record
        } else {
            guard let index = index(of: node) else { return }
            if !records[index].looksLike(record) { revision += 1 }
            records[index] = record
        }
    }

    mutating func lose(_ link: LinkID) -> Int32? {
        guard let node = nodeOfLink.removeValue(forKey: link) else { return nil }
        if record(of: node)?.cutNanoseconds != nil { cutCount -= 1 }
        replace(node, by: NodeRecord(node: node))
        return node
    }

    mutating func heard(_ link: LinkID, now: UInt64) {
        guard let node = nodeOfLink[link] else { return }
        if node == Self.frontEndNumber {
            frontEnd.heardNanoseconds = now
        } else if let index = index(of: node) {
            records[index].heardNanoseconds = now
        }
    }
}

/// Where a slave has connected from.
struct Arrival {
    let link: LinkID
    /// Where it listens.
    let address: NodeAddress
    /// Where it has connected from, as the kernel says, without the port.
    let host: NodeAddress
    /// It has connected from the master's own machine.
    let isLocal: Bool
}

public struct AdmissionRefusal: Error, Equatable, Sendable {
    public let sentence: String
}
