/// Signals as a user writes them.
public enum SignalName {
    /// Linux on x86-64, in the order of their numbers from 1 on.
    private static let names = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
        "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
        "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
    ]
    private static let firstRealTime: Int32 = 34
    private static let last: Int32 = 64

    /// The number of "15", "TERM", "SIGTERM", "sigterm", "RTMIN+3" or "RTMAX-1"; nil: there is no
    /// such signal. 0 tests for the process.
    public static func number(_ text: String) -> Int32? {
        if let number = Int32(text) { return (0...last).contains(number) ? number : nil }
        var name = text.uppercased()
        if name.hasPrefix("SIG") { name.removeFirst(3) }
        if let index = names.firstIndex(of: name) { return Int32(index) + 1 }
        let realTime: Int32?
        if name == "RTMIN" {
            realTime = firstRealTime
        } else if name == "RTMAX" {
            realTime = last
        } else if name.hasPrefix("RTMIN+") {
            realTime = Int32(name.dropFirst(6)).map { firstRealTime + $0 }
        } else if name.hasPrefix("RTMAX-") {
            realTime = Int32(name.dropFirst(6)).map { last - $0 }
        } else {
            realTime = nil
        }
        return realTime.flatMap { (firstRealTime...last).contains($0) ? $0 : nil }
    }

    /// A line for each name.
    public static var list: String {
        names.enumerated().map { "\($0.offset + 1) \($0.element)\n" }.joined()
            + "\(firstRealTime) RTMIN\n\(last) RTMAX\n"
    }
}
