/// Addresses of host names, from the local file: a static executable has no other resolver.
public struct HostFile: Sendable {
    private let lines: [[Substring]]

    public init(text: String) {
        lines = text.split(separator: "\n").map { line in
            line.prefix { $0 != "#" }.split { $0 == " " || $0 == "\t" }
        }
    }

    public init() { self.init(text: TextFile.read("/etc/hosts") ?? "") }

    /// All addresses of a name, and the name itself, which may be an address.
    public func addresses(of name: String) -> [String] {
        [name]
            + lines.filter { $0.dropFirst().contains(name[...]) }.compactMap {
                $0.first.map(String.init)
            }
    }
}
