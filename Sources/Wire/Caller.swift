/// A connection of a program, named by whoever carries out I/O.
public struct ClientID: Hashable, Sendable {
    public let rawValue: UInt64
    public init(_ rawValue: UInt64) { self.rawValue = rawValue }
}

/// Who asks, as the kernel of the machine says on which the program runs.
public struct Caller: Equatable, Sendable {
    public var user: UInt32
    public var group: UInt32
    public var supplementaryGroups: [UInt32]
    public init(user: UInt32, group: UInt32, supplementaryGroups: [UInt32]) {
        self.user = user
        self.group = group
        self.supplementaryGroups = supplementaryGroups
    }
}

extension Caller {
    var encodedByteCount: Int { 12 + 4 * supplementaryGroups.count }

    func write(to writer: inout WireWriter) {
        writer.write(user)
        writer.write(group)
        writer.write(UInt32(supplementaryGroups.count))
        for group in supplementaryGroups { writer.write(group) }
    }

    init(from reader: inout WireReader) throws(WireError) {
        let user = try reader.read(UInt32.self, "caller's user")
        let group = try reader.read(UInt32.self, "caller's group")
        let groupCount = try reader.readCount(
            elementByteCount: 4, limit: LaunchOrder.groupLimit, "caller's group count")
        var groups: [UInt32] = []
        groups.reserveCapacity(groupCount)
        for _ in 0..<groupCount {
            groups.append(try reader.read(UInt32.self, "caller's supplementary group"))
        }
        self.init(user: user, group: group, supplementaryGroups: groups)
    }
}
