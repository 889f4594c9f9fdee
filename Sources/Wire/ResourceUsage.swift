/// What a process that has ended, and the children it has waited for, have used.
public struct ResourceUsage: Equatable, Sendable {
    public var userMicroseconds: UInt64
    public var systemMicroseconds: UInt64
    /// Of the largest of them.
    public var maximumResidentKilobytes: UInt64

    public init(
        userMicroseconds: UInt64 = 0, systemMicroseconds: UInt64 = 0,
        maximumResidentKilobytes: UInt64 = 0
    ) {
        self.userMicroseconds = userMicroseconds
        self.systemMicroseconds = systemMicroseconds
        self.maximumResidentKilobytes = maximumResidentKilobytes
    }

    /// Counts what another process has used as well.
    public mutating func add(_ other: ResourceUsage) {
        userMicroseconds &+= other.userMicroseconds
        systemMicroseconds &+= other.systemMicroseconds
        maximumResidentKilobytes = max(maximumResidentKilobytes, other.maximumResidentKilobytes)
    }
}
