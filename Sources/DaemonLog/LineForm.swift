import Glibc
package import Logging

/// How a line of the log looks.
package enum LineForm: Sendable {
    /// "2026-11-27T11:44:38.123+0000 info bpmaster.relay: message"
    case plain
    /// "<6>relay: message": the journal has the time and the daemon's name itself, and reads the
    /// number as the line's priority (sd-daemon(3)).
    case journal

    /// The journal's if standard error is connected to it: systemd names the socket's device and
    /// inode in JOURNAL_STREAM (systemd.exec(5)), which a descriptor that has been redirected since
    /// then does not have.
    static func ofStandardError() -> LineForm {
        guard let value = unsafe getenv("JOURNAL_STREAM") else { return .plain }
        let stream = unsafe String(cString: value)
        var status = stat()
        guard unsafe fstat(2, &status) == 0 else { return .plain }
        return stream == "\(status.st_dev):\(status.st_ino)" ? .journal : .plain
    }

    package func line(
        _ level: Logger.Level, label: String, component: LogComponent, message: String
    )
        -> String
    {
        let text = Self.printable(message)
        switch self {
        case .plain: return "\(Self.now()) \(level.rawValue) \(label): \(text)\n"
        case .journal: return "<\(Self.priority(level))>\(component.rawValue): \(text)\n"
        }
    }

    /// syslog(3)'s number.
    private static func priority(_ level: Logger.Level) -> Int {
        switch level {
        case .trace, .debug: 7
        case .info: 6
        case .notice: 5
        case .warning: 4
        case .error: 3
        case .critical: 2
        }
    }

    /// Names and reasons come from peers and users: none may begin a line of its own.
    private static func printable(_ message: String) -> String {
        guard message.utf8.contains(where: { $0 < 0x20 || $0 == 0x7f }) else { return message }
        var text = ""
        for scalar in message.unicodeScalars {
            if scalar.value < 0x20 || scalar.value == 0x7f {
                let digits = String(scalar.value, radix: 16)
                text += "\\x" + (digits.count < 2 ? "0" : "") + digits
            } else {
                text.unicodeScalars.append(scalar)
            }
        }
        return text
    }

    /// Local time with milliseconds and the zone's offset.
    private static func now() -> String {
        var time = timespec()
        unsafe clock_gettime(CLOCK_REALTIME, &time)
        var parts = unsafe tm()
        unsafe localtime_r(&time.tv_sec, &parts)
        let milliseconds = String(1000 + time.tv_nsec / 1_000_000).dropFirst()
        return unsafe format("%Y-%m-%dT%H:%M:%S", parts) + "." + milliseconds
            + format("%z", parts)
    }

    private static func format(_ form: String, _ parts: tm) -> String {
        var parts = unsafe parts
        return unsafe String(unsafeUninitializedCapacity: 64) { buffer in
            unsafe buffer.withMemoryRebound(to: CChar.self) {
                unsafe strftime($0.baseAddress!, $0.count, form, &parts)
            }
        }
    }
}
