import Glibc

/// Names of users and groups, read from the local files.
///
/// The C library's lookups load shared objects at run time, which a static executable must not do.
public struct AccountNames: Sendable {
    private let users: [UInt32: String]
    private let groups: [UInt32: String]

    public init(userFile: String = "/etc/passwd", groupFile: String = "/etc/group") {
        users = Self.names(in: userFile)
        groups = Self.names(in: groupFile)
    }

    /// The name, or `#number`.
    public func user(_ number: UInt32) -> String { users[number] ?? "#\(number)" }
    public func group(_ number: UInt32) -> String { groups[number] ?? "#\(number)" }

    /// The number of a user, by name or number; nil: there is no such name.
    public func userNumber(_ text: String) -> UInt32? { Self.number(text, in: users) }
    public func groupNumber(_ text: String) -> UInt32? { Self.number(text, in: groups) }

    /// A name that looks like a number is a name first, as for chown(1). The greatest number means
    /// "no change" to the kernel and is nobody's.
    private static func number(_ text: String, in names: [UInt32: String]) -> UInt32? {
        if let known = names.filter({ $0.value == text }).map(\.key).min() { return known }
        return UInt32(text).flatMap { $0 == .max ? nil : $0 }
    }

    /// Lines of `name:password:number:…`; the first line of a number counts.
    private static func names(in path: String) -> [UInt32: String] {
        guard let text = TextFile.read(path, byteLimit: 16 << 20) else { return [:] }
        var names: [UInt32: String] = [:]
        for line in text.split(separator: "\n") {
            let fields = line.split(separator: ":", omittingEmptySubsequences: false)
            guard fields.count >= 3, let number = UInt32(fields[2]) else { continue }
            if names[number] == nil { names[number] = String(fields[0]) }
        }
        return names
    }
}
