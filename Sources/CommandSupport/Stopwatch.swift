import CSystem

/// Time that only goes forward.
public enum Stopwatch {
    public static func nanoseconds() -> UInt64 { bp_monotonic_nanoseconds() }

    public static func sleep(nanoseconds: UInt64) { _ = bp_command_sleep(nanoseconds) }

    /// `12.345678`.
    public static func seconds(_ nanoseconds: UInt64, digits: Int = 6) -> String {
        var unit: UInt64 = 1_000_000_000
        for _ in 0..<digits { unit /= 10 }
        let scaled = (nanoseconds + unit / 2) / unit
        let one = 1_000_000_000 / unit
        let fraction = "\(scaled % one)"
        guard digits > 0 else { return "\(scaled)" }
        let zeros = String(repeating: "0", count: digits - fraction.utf8.count)
        return "\(scaled / one).\(zeros)\(fraction)"
    }
}
