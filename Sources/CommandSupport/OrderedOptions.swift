/// The options of a command line in their order, for commands where the order is the meaning: the
/// argument parser, which has checked the line before, does not keep it.
public struct OrderedOptions: Equatable, Sendable {
    /// One option: its name as it was written ("-S", "--state"), and its value.
    public struct Item: Equatable, Sendable {
        public let name: String
        public let value: String?

        public init(_ name: String, _ value: String? = nil) {
            self.name = name
            self.value = value
        }
    }

    public private(set) var items: [Item] = []

    /// - Parameter valued: names of the options that have a value.
    public init(_ words: [String], valued: Set<String>) {
        var rest = words[...]
        while let word = rest.popFirst(), word != "--" {
            if word.hasPrefix("--") {
                let parts = word.split(separator: "=", maxSplits: 1).map(String.init)
                let name = parts[0]
                let attached =
                    parts.count > 1 ? parts[1] : (word.hasSuffix("=") ? "" : nil)
                items.append(
                    Item(name, valued.contains(name) ? attached ?? rest.popFirst() : nil))
            } else if word.hasPrefix("-"), word.count > 1 {
                addLetters(of: word, rest: &rest, valued: valued)
            }
        }
    }

    /// "-fS" is two options; what follows a letter that has a value is the value.
    private mutating func addLetters(
        of word: String, rest: inout ArraySlice<String>, valued: Set<String>
    ) {
        var letters = word.dropFirst()
        while let letter = letters.popFirst() {
            let name = "-\(letter)"
            guard valued.contains(name) else {
                items.append(Item(name))
                continue
            }
            if letters.first == "=" { letters.removeFirst() }
            items.append(Item(name, letters.isEmpty ? rest.popFirst() : String(letters)))
            return
        }
    }
}
