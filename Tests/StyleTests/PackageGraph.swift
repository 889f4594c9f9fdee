/// The targets of Package.swift and the arrows between them, read from its text.
///
/// Reading the text keeps the test independent of the build system, which is busy running it.
struct PackageGraph {
    struct Target: Equatable {
        let kind: String
        let name: String
        /// Names of targets, and modules of packages.
        let dependencies: [String]
    }

    /// In the order they are declared: from the bottom up.
    let targets: [Target]

    /// Values of Package.swift that stand for a module of another package.
    private static let packageModules = ["argumentParser": "ArgumentParser", "logging": "Logging"]

    init(manifest: String) {
        var targets: [Target] = []
        for kind in ["systemLibrary", "target", "executableTarget", "testTarget"] {
            var rest = manifest[...]
            while let start = rest.range(of: ".\(kind)(") {
                let body = Self.balanced(rest[start.upperBound...])
                if let name = Self.strings(after: "name:", in: body, limit: 1).first {
                    targets.append(
                        Target(kind: kind, name: name, dependencies: Self.dependencies(in: body)))
                }
                rest = rest[start.upperBound...]
            }
        }
        // The kinds were read one after the other; the order of declaration is what counts.
        let place = Dictionary(
            targets.map { ($0.name, manifest.range(of: "name: \"\($0.name)\"")!.lowerBound) },
            uniquingKeysWith: { first, _ in first })
        self.targets = targets.sorted { place[$0.name]! < place[$1.name]! }
    }

    static let current = PackageGraph(
        manifest: targetsPart(of: SourceTree.files.first { $0.path == "Package.swift" }!.text))

    /// Products are named like targets; only what follows the list of targets counts.
    static func targetsPart(of manifest: String) -> String {
        guard let start = manifest.range(of: "\n    targets: [") else { return "" }
        return String(manifest[start.upperBound...])
    }

    func target(_ name: String) -> Target? { targets.first { $0.name == name } }

    /// The text up to the bracket that closes the one before it.
    private static func balanced(_ text: Substring) -> Substring {
        var depth = 1
        for index in text.indices {
            if text[index] == "(" { depth += 1 }
            if text[index] == ")" { depth -= 1 }
            if depth == 0 { return text[..<index] }
        }
        return text
    }

    private static func strings(
        after label: String, in text: Substring, limit: Int = .max
    ) -> [String] {
        guard let start = text.range(of: label) else { return [] }
        let parts = text[start.upperBound...].split(
            separator: "\"", omittingEmptySubsequences: false)
        return zip(parts.indices, parts).filter { $0.0 % 2 == 1 }.prefix(limit)
            .map { String($0.1) }
    }

    private static func dependencies(in body: Substring) -> [String] {
        guard let start = body.range(of: "dependencies: [") else { return [] }
        let list = body[start.upperBound...].prefix { $0 != "]" }
        return list.split(whereSeparator: { $0 == "," || $0.isWhitespace }).map { word in
            packageModules[String(word)] ?? word.filter { $0 != "\"" }
        }
    }
}
