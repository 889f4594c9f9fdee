/// The first thing in a text that cannot be JSON5. The decoder judges, but does not say where it
/// has stumbled: a text that it refuses is walked again to find that.
struct SyntaxFault: Equatable, Sendable {
    let place: TextPlace
    let sentence: String

    /// nil: nothing is found here that is wrong.
    init?(in text: String) {
        var reader = SyntaxReader(Array(text.utf8))
        guard let fault = reader.firstFault() else { return nil }
        self = fault
    }

    fileprivate init(_ sentence: String, at place: TextPlace) {
        self.place = place
        self.sentence = sentence
    }
}

private struct SyntaxReader {
    private let bytes: [UInt8]
    private var index = 0
    private var place = TextPlace()
    private var depth = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    private var current: UInt8? { index < bytes.count ? bytes[index] : nil }

    private mutating func advance() {
        place.advance(over: bytes[index])
        index += 1
    }

    mutating func firstFault() -> SyntaxFault? {
        if let fault = value() ?? skipBlanks() { return fault }
        return current == nil ? nil : unexpected("the end was expected")
    }

    private func unexpected(_ sentence: String) -> SyntaxFault {
        guard let byte = current else {
            return SyntaxFault("\(sentence), but the text ends", at: place)
        }
        let shown =
            (0x21..<0x7F).contains(byte)
            ? "\"\(Character(Unicode.Scalar(byte)))\"" : "the byte 0x\(String(byte, radix: 16))"
        return SyntaxFault("\(sentence), not \(shown)", at: place)
    }

    private mutating func skipBlanks() -> SyntaxFault? {
        while let byte = current {
            if byte == UInt8(ascii: "/") {
                let start = place
                advance()
                switch current {
                case UInt8(ascii: "/"): while let next = current, next != 10 { advance() }
                case UInt8(ascii: "*"):
                    guard skipBlock() else {
                        return SyntaxFault("the comment is not closed", at: start)
                    }
                default: return unexpected("a comment was expected after the slash")
                }
            } else if byte <= 0x20 || [0xC2, 0xE2, 0xEF].contains(byte) || byte & 0xC0 == 0x80 {
                advance()
            } else {
                break
            }
        }
        return nil
    }

    private mutating func skipBlock() -> Bool {
        advance()
        while let byte = current {
            advance()
            if byte == UInt8(ascii: "*"), current == UInt8(ascii: "/") {
                advance()
                return true
            }
        }
        return false
    }

    private mutating func value() -> SyntaxFault? {
        if let fault = skipBlanks() { return fault }
        switch current {
        case UInt8(ascii: "{"): return list(until: UInt8(ascii: "}"), hasKeys: true)
        case UInt8(ascii: "["): return list(until: UInt8(ascii: "]"), hasKeys: false)
        case UInt8(ascii: "\""), UInt8(ascii: "'"): return string()
        default: return word()
        }
    }

    /// The members of an object, or the elements of a list.
    private mutating func list(until end: UInt8, hasKeys: Bool) -> SyntaxFault? {
        let start = place
        depth += 1
        defer { depth -= 1 }
        guard depth < 100 else { return SyntaxFault("this is nested too deeply", at: start) }
        let name = hasKeys ? "the brace" : "the bracket"
        let mark = Character(Unicode.Scalar(end))
        advance()
        while true {
            if let fault = skipBlanks() { return fault }
            guard current != nil else { return SyntaxFault("\(name) is not closed", at: start) }
            if current == end { break }
            if hasKeys, let fault = key() { return fault }
            if let fault = value() ?? skipBlanks() { return fault }
            guard current != nil else { return SyntaxFault("\(name) is not closed", at: start) }
            if current == end { break }
            guard current == UInt8(ascii: ",") else {
                return unexpected("a comma or \"\(mark)\" was expected")
            }
            advance()
        }
        advance()
        return nil
    }

    private mutating func key() -> SyntaxFault? {
        let isQuoted = current == UInt8(ascii: "\"") || current == UInt8(ascii: "'")
        if !isQuoted, let byte = current, !Self.isLetter(byte) {
            return unexpected("a key was expected")
        }
        if let fault = isQuoted ? string() : word(isKey: true) { return fault }
        if let fault = skipBlanks() { return fault }
        guard current == UInt8(ascii: ":") else { return unexpected("a colon was expected") }
        advance()
        return nil
    }

    private mutating func string() -> SyntaxFault? {
        let start = place
        let mark = current
        advance()
        while let byte = current, byte != mark {
            guard byte != 10 else { return SyntaxFault("the string is not closed", at: start) }
            advance()
            if byte == UInt8(ascii: "\\"), current != nil { advance() }
        }
        guard current != nil else { return SyntaxFault("the string is not closed", at: start) }
        advance()
        return nil
    }

    private mutating func word(isKey: Bool = false) -> SyntaxFault? {
        guard let first = current, Self.isLetter(first) || "+-.0123456789".utf8.contains(first)
        else { return unexpected("a value was expected") }
        let start = place
        var word: [UInt8] = []
        while let byte = current, Self.isLetter(byte) || "+-.0123456789".utf8.contains(byte) {
            word.append(byte)
            advance()
        }
        if isKey {
            // A key may be any word, but no more than a word.
            guard let mark = word.first(where: { "+-.".utf8.contains($0) }) else { return nil }
            let shown = Character(Unicode.Scalar(mark))
            let key = String(decoding: word.prefix(40), as: UTF8.self)
            return SyntaxFault(
                "the key \"\(key)\" has a \"\(shown)\": it stands in quotation marks", at: start)
        }
        guard !Self.isLiteral(word) else { return nil }
        return SyntaxFault(
            "\"\(String(decoding: word.prefix(40), as: UTF8.self))\" is no value: texts stand in "
                + "quotation marks", at: start)
    }

    private static func isLiteral(_ word: [UInt8]) -> Bool {
        let text = String(decoding: word, as: UTF8.self)
        let isNumber = "+-.0123456789".utf8.contains(word[0])
        return isNumber || ["true", "false", "null", "NaN", "Infinity"].contains(text)
    }

    private static func isLetter(_ byte: UInt8) -> Bool {
        let lowered = byte | 0x20
        return (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(lowered)
            || byte == UInt8(ascii: "_") || byte == UInt8(ascii: "$")
    }
}
