/// A link's name, given by whoever carries out I/O. Never reused within a daemon's life.
public struct LinkID: Hashable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64
    public init(_ rawValue: UInt64) { self.rawValue = rawValue }
    public var description: String { "link \(rawValue)" }
}
