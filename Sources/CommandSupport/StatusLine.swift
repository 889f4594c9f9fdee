import Glibc

/// A line on standard error that is written over again and again; nothing where that is no
/// terminal.
public struct StatusLine: ~Copyable {
    private let isShown = StandardOutput.isTerminal(STDERR_FILENO)
    private var width = 0

    public init() {}

    public mutating func show(_ text: String) {
        guard isShown else { return }
        let columns = StandardOutput.columns(of: STDERR_FILENO) ?? 80
        let line = String(text.prefix(max(1, columns - 1)))
        let blanks = String(repeating: " ", count: max(0, width - line.count))
        width = line.count
        StandardOutput.write("\r\(line)\(blanks)", to: STDERR_FILENO)
    }

    /// Leaves the line empty.
    public mutating func clear() {
        guard isShown, width > 0 else { return }
        StandardOutput.write("\r\(String(repeating: " ", count: width))\r", to: STDERR_FILENO)
        width = 0
    }
}
