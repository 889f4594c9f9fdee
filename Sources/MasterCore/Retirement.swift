/// What is no longer needed, and takes time to give back: it is kept until nobody waits for this
/// process any more. An image that has been sent would otherwise be freed, page by page, between
/// the word that a rank is placed and the word that it has ended.
package struct Retirement<Item> {
    private struct Entry {
        let item: Item
        let byteCount: Int
        let end: UInt64
    }

    private let delayNanoseconds: UInt64
    private let byteLimit: Int
    private var entries: [Entry] = []
    private var byteCount = 0

    /// - Parameter byteLimit: more than this is not kept: memory counts more than a moment then.
    package init(delayNanoseconds: UInt64, byteLimit: Int) {
        self.delayNanoseconds = delayNanoseconds
        self.byteLimit = byteLimit
    }

    package var count: Int { entries.count }

    /// When `tick` has something to do; the greatest number: never.
    package var deadlineNanoseconds: UInt64 { entries.first?.end ?? .max }

    package mutating func add(_ item: Item, byteCount: Int, now: UInt64) {
        guard byteCount <= byteLimit - self.byteCount else { return }
        self.byteCount += byteCount
        entries.append(Entry(item: item, byteCount: byteCount, end: now + delayNanoseconds))
    }

    package mutating func tick(now: UInt64) {
        while let first = entries.first, first.end <= now {
            byteCount -= first.byteCount
            entries.removeFirst()
        }
    }
}
