/// The modules that a Swift file imports.
enum SwiftImports {
    private static let modifiers: Set<Substring> = [
        "public", "package", "internal", "fileprivate", "private",
    ]
    private static let kinds: Set<Substring> = [
        "struct", "class", "enum", "protocol", "typealias", "func", "let", "var",
    ]

    static func modules(in file: TextFile) -> [String] {
        file.lines.compactMap { line in
            var words = line.split(whereSeparator: \.isWhitespace)[...]
            while let word = words.first, modifiers.contains(word) || word.hasPrefix("@") {
                words = words.dropFirst()
            }
            guard words.first == "import" else { return nil }
            words = words.dropFirst()
            if let word = words.first, kinds.contains(word) { words = words.dropFirst() }
            return words.first.map { String($0.prefix { $0 != "." && $0 != ";" }) }
        }
    }
}
