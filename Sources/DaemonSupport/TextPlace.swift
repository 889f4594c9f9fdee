/// A place in a text, as editors count: both from 1, columns in characters.
struct TextPlace: Equatable, Comparable, Sendable {
    var line = 1
    var column = 1

    mutating func advance(over byte: UInt8) {
        if byte == UInt8(ascii: "\n") {
            self = TextPlace(line: line + 1, column: 1)
        } else if byte & 0xC0 != 0x80 {
            column += 1
        }
    }

    static func < (left: TextPlace, right: TextPlace) -> Bool {
        (left.line, left.column) < (right.line, right.column)
    }
}

/// Where the keys and values of a JSON5 object stand. It only walks over what the decoder has read
/// without complaint, and judges nothing.
struct ObjectPlaces: Equatable, Sendable {
    struct Member: Equatable, Sendable {
        /// As written, without its quotation marks.
        let key: String
        let place: TextPlace
        let value: TextPlace
        /// Of a list its elements, of an object its members; keys of elements are empty.
        let parts: [Part]
    }
    struct Part: Equatable, Sendable {
        let key: String
        let place: TextPlace
    }

    private(set) var members: [Member] = []

    init(_ text: String) {
        var walk = ObjectWalk(Array(text.utf8))
        walk.skipBlanks()
        guard walk.take(UInt8(ascii: "{")) else { return }
        while let (key, place) = walk.takeKey() {
            let value = walk.place
            members.append(
                Member(key: key, place: place, value: value, parts: walk.takeValue()))
        }
    }
}

private struct ObjectWalk {
    private let bytes: [UInt8]
    private var index = 0
    private(set) var place = TextPlace()

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    private var current: UInt8? { index < bytes.count ? bytes[index] : nil }

    private mutating func advance() {
        place.advance(over: bytes[index])
        index += 1
    }

    mutating func take(_ byte: UInt8) -> Bool {
        guard current == byte else { return false }
        advance()
        return true
    }

    /// Blanks, commas and comments.
    mutating func skipBlanks() {
        while let byte = current {
            if byte == UInt8(ascii: "/"), index + 1 < bytes.count {
                skipComment(isBlock: bytes[index + 1] == UInt8(ascii: "*"))
            } else if byte <= 0x20 || byte == UInt8(ascii: ",") || byte == 0xC2 || byte == 0xE2
                || byte == 0xEF || byte & 0xC0 == 0x80
            {
                // The first bytes of a no-break space, a line separator, a byte order mark.
                advance()
            } else {
                return
            }
        }
    }

    private mutating func skipComment(isBlock: Bool) {
        advance()
        while let byte = current {
            advance()
            if !isBlock, byte == UInt8(ascii: "\n") { return }
            if isBlock, byte == UInt8(ascii: "*"), current == UInt8(ascii: "/") { return advance() }
        }
    }

    /// A key and the colon behind it; nil: the object ends.
    mutating func takeKey() -> (key: String, place: TextPlace)? {
        skipBlanks()
        guard let byte = current, byte != UInt8(ascii: "}") else { return nil }
        let start = place
        let key = takeToken()
        while let byte = current, byte != UInt8(ascii: ":") {
            if byte == UInt8(ascii: "/") { skipBlanks() } else { advance() }
        }
        if current != nil { advance() }
        skipBlanks()
        return (key, start)
    }

    /// A string without its marks, or a word.
    private mutating func takeToken() -> String {
        guard let mark = current else { return "" }
        guard mark == UInt8(ascii: "\"") || mark == UInt8(ascii: "'") else {
            let start = index
            while let byte = current, byte > 0x20, !",:]}/".utf8.contains(byte) { advance() }
            // What is no word at all is stepped over, so that every walk ends.
            if index == start { advance() }
            return String(decoding: bytes[start..<index], as: UTF8.self)
        }
        advance()
        let start = index
        while let byte = current, byte != mark {
            advance()
            if byte == UInt8(ascii: "\\"), current != nil { advance() }
        }
        defer { if current != nil { advance() } }
        return String(decoding: bytes[start..<index], as: UTF8.self)
    }

    /// Steps over a value.
    mutating func takeValue() -> [ObjectPlaces.Part] {
        var parts: [ObjectPlaces.Part] = []
        if take(UInt8(ascii: "{")) {
            while let (key, place) = takeKey() {
                parts.append(ObjectPlaces.Part(key: key, place: place))
                skipNested()
            }
            if current != nil { advance() }
        } else if take(UInt8(ascii: "[")) {
            while true {
                skipBlanks()
                guard let byte = current, byte != UInt8(ascii: "]") else { break }
                parts.append(ObjectPlaces.Part(key: "", place: place))
                skipNested()
            }
            if current != nil { advance() }
        } else {
            _ = takeToken()
        }
        return parts
    }

    /// A value inside a value: nothing of it is of interest.
    private mutating func skipNested() {
        var depth = 0
        repeat {
            skipBlanks()
            switch current {
            case nil: return
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                depth += 1
                advance()
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                guard depth > 0 else { return }
                depth -= 1
                advance()
            case UInt8(ascii: ":"): advance()
            default: _ = takeToken()
            }
        } while depth > 0
    }
}
