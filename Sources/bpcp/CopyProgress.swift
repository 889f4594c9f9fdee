import CommandSupport

/// The bar on a terminal: the file that is being copied, and how much of it is on its way.
struct CopyProgress: ~Copyable {
    private let nodeCount: Int
    private var line = StatusLine()
    private var name = ""
    private var byteCount: UInt64 = 0
    private var doneByteCount: UInt64 = 0
    private var shownNanoseconds: UInt64 = 0

    private static let barWidth = 30
    private static let paceNanoseconds: UInt64 = 100_000_000

    init(nodeCount: Int) { self.nodeCount = nodeCount }

    mutating func begin(_ name: String, byteCount: UInt64) {
        // A name may hold what would steer the terminal.
        self.name = String(name.map { $0.isASCII && ($0 < " " || $0 == "\u{7f}") ? "?" : $0 })
        self.byteCount = byteCount
        doneByteCount = 0
    }

    mutating func add(_ count: Int) {
        doneByteCount += UInt64(count)
        let now = Stopwatch.nanoseconds()
        guard now - shownNanoseconds >= Self.paceNanoseconds else { return }
        shownNanoseconds = now
        line.show(text)
    }

    mutating func clear() { line.clear() }

    private var text: String {
        let percent = byteCount == 0 ? 100 : Int(doneByteCount * 100 / byteCount)
        let filled = percent * Self.barWidth / 100
        let bar =
            String(repeating: "#", count: filled)
            + String(repeating: ".", count: Self.barWidth - filled)
        let nodes = nodeCount > 1 ? ", \(nodeCount) nodes" : ""
        return "[\(bar)] \(percent)% of \(Self.megabytes(byteCount)) MB\(nodes): \(name)"
    }

    private static func megabytes(_ byteCount: UInt64) -> String {
        let tenths = (byteCount + 50_000) / 100_000
        return "\(tenths / 10).\(tenths % 10)"
    }
}
