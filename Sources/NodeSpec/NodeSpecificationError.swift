/// A node specification that cannot be read, or asks for too much: what is wrong, and where.
///
/// The error keeps an excerpt around the place and never the whole text, which may be large.
public struct NodeSpecificationError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Bytes of the text before the place that is wrong; all of them are plain ASCII.
    public let offset: Int
    /// One sentence without its full stop.
    public let sentence: String
    /// The text around the place, in printable ASCII.
    public let excerpt: String
    /// Where in the excerpt the place is, counted in characters from 0.
    public let excerptColumn: Int

    /// Characters of the text shown on each side of the place.
    private static let excerptReach = 30

    init(_ sentence: String, at offset: Int, in text: [UInt8]) {
        self.sentence = sentence
        self.offset = offset
        let start = max(0, min(offset, text.count) - Self.excerptReach)
        let end = min(text.count, offset + Self.excerptReach)
        var shown = start > 0 ? "..." : ""
        excerptColumn = shown.utf8.count + offset - start
        for byte in text[start..<max(start, end)] {
            // Anything unprintable takes one column, so that the caret stays under its character.
            shown.unicodeScalars.append(
                (0x20..<0x7F).contains(byte) ? Unicode.Scalar(byte) : "?")
        }
        if end < text.count { shown += "..." }
        excerpt = shown
    }

    /// One line: "node specification, character 3: …".
    public var description: String {
        "node specification, character \(offset + 1): \(sentence)"
    }

    /// Three lines: the sentence, the text, and a caret under the place.
    public var rendering: String {
        "\(description)\n  \(excerpt)\n  \(String(repeating: " ", count: excerptColumn))^"
    }
}
