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
