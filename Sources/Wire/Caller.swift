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
