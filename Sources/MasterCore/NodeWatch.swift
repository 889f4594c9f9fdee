public import Relay

/// Who is told that the table of nodes has changed, and when: the first change at once, those that
/// follow it closely together, so that a thousand nodes that connect are not a thousand tables.
public struct NodeWatch: Sendable {
    private var toldRevision: UInt64 = 0
    private var earliestNanoseconds: UInt64 = 0
    private var isPending = false
    /// Slaves that have programs which watch; true: told, and it has not asked since.
    private var links: [LinkID: Bool] = [:]

    public init() {}

    /// Quiet time after news: short against the time in which a person or a scheduler reacts.
    public static let intervalNanoseconds: UInt64 = 5_000_000

    /// When news that was held back is due; the greatest number: there is none.
    public var deadlineNanoseconds: UInt64 { isPending ? earliestNanoseconds : .max }

    /// Whether everybody is to be told now.
    public mutating func isDue(revision: UInt64, now: UInt64) -> Bool {
        guard revision != toldRevision else { return false }
        isPending = now < earliestNanoseconds
        guard !isPending else { return false }
        toldRevision = revision
        earliestNanoseconds = now + Self.intervalNanoseconds
        return true
    }

    public mutating func begin(_ link: LinkID) {
        if links[link] == nil { links[link] = false }
    }

    public mutating func forget(_ link: LinkID) { links[link] = nil }

    public mutating func hasAsked(_ link: LinkID) {
        if links[link] != nil { links[link] = false }
    }

    /// Slaves to be told now; each once until it asks.
    public mutating func takeLinks() -> [LinkID] {
        let due = links.filter { !$0.value }.map(\.key)
        for link in due { links[link] = true }
        return due
    }
}
