/// The number of a node. The front end, where the master runs, is -1; all others count from 0.
public struct NodeNumber: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The number as wire and C interface carry it.
    public let rawValue: Int32

    @inlinable
    public init(_ rawValue: Int32) { self.rawValue = rawValue }

    /// The front end.
    public static let master = NodeNumber(-1)
    /// No node can have a higher number.
    public static let highest = NodeNumber(Int32.max)

    @inlinable
    public static func < (left: NodeNumber, right: NodeNumber) -> Bool {
        left.rawValue < right.rawValue
    }

    /// Decimal digits, or `master`.
    public var description: String { self == .master ? "master" : String(rawValue) }
}

extension NodeNumber: ExpressibleByIntegerLiteral {
    @inlinable
    public init(integerLiteral value: Int32) { self.init(value) }
}
