import CSystem
import Glibc

/// Arguments and environment of this process as bytes: they need not be UTF-8.
public enum ProcessEnvironment {
    /// `NAME=value` each, in their order.
    public static func entries() -> [[UInt8]] {
        var entries: [[UInt8]] = []
        while let entry = unsafe bp_command_environment(entries.count) {
            entries.append(unsafe bytes(entry))
        }
        return entries
    }

    /// The value of a variable; nil: it is not set.
    public static func value(of name: String) -> String? {
        let prefix = Array("\(name)=".utf8)
        guard let entry = entries().first(where: { $0.starts(with: prefix) }) else { return nil }
        return String(decoding: entry.dropFirst(prefix.count), as: UTF8.self)
    }

    /// A copy of `entries` in which each of the names has the new value, at the end.
    public static func setting(
        _ values: [(name: String, value: String)], in entries: [[UInt8]]
    ) -> [[UInt8]] {
        let prefixes = values.map { Array("\($0.name)=".utf8) }
        let kept = entries.filter { entry in !prefixes.contains { entry.starts(with: $0) } }
        return kept + values.map { Array("\($0.name)=\($0.value)".utf8) }
    }

    /// The arguments behind the command's name.
    public static func arguments() -> [[UInt8]] {
        var arguments: [[UInt8]] = []
        while let argument = unsafe bp_program_argument(Int32(arguments.count) + 1) {
            arguments.append(unsafe bytes(argument))
        }
        return arguments
    }

    private static func bytes(_ text: UnsafePointer<CChar>) -> [UInt8] {
        unsafe UnsafeBufferPointer(start: text, count: strlen(text)).map { UInt8(bitPattern: $0) }
    }
}
