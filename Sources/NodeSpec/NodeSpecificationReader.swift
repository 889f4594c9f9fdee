extension NodeSpecification {
    /// Reads a specification.
    ///
    /// Grammar: a comma list of `number`, `a-b`, `a-`, `master`, `all`, and state names, each of
    /// the latter with an optional `all` and then an optional `not` before it. A number may carry
    /// `n` or `.` in front. Numbers are decimal: 010 is ten. There are no blanks.
    public init(parsing text: String) throws(NodeSpecificationError) {
        let byteCount = text.utf8.count
        guard byteCount <= Self.textByteLimit else {
            throw NodeSpecificationError(
                "the text is \(byteCount) bytes long; at most \(Self.textByteLimit) are read",
                at: 0, in: Array(text.utf8.prefix(64)))
        }
        var reader = NodeSpecificationReader(text: Array(text.utf8))
        self.init(terms: try reader.readTerms())
    }
}

/// Reads a specification from left to right, one byte of look-ahead.
struct NodeSpecificationReader {
    private let text: [UInt8]
    private var offset = 0

    init(text: [UInt8]) { self.text = text }

    private var current: UInt8? { offset < text.count ? text[offset] : nil }

    private func failure(_ sentence: String, at place: Int) -> NodeSpecificationError {
        NodeSpecificationError(sentence, at: place, in: text)
    }

    mutating func readTerms() throws(NodeSpecificationError) -> [NodeSpecification.Term] {
        guard !text.isEmpty else { throw failure("it is empty: no node is named", at: 0) }
        var terms: [NodeSpecification.Term] = []
        while true {
            terms.append(try readTerm())
            guard let separator = current else { return terms }
            guard separator == UInt8(ascii: ",") else {
                throw failure(
                    "a comma or the end was expected, not \(quoted(separator))", at: offset)
            }
            offset += 1
        }
    }

    private mutating func readTerm() throws(NodeSpecificationError) -> NodeSpecification.Term {
        guard let first = current else {
            throw failure("a node was expected after the comma", at: offset)
        }
        if first.isDigit || isNumberPrefix(at: offset) { return try readNumbers() }
        if first.isLetter { return try readWord() }
        if first == UInt8(ascii: "-") {
            throw failure(
                "a node number is never negative; the front end is written \"master\"", at: offset)
        }
        if first == UInt8(ascii: ",") {
            throw failure("a node was expected before the comma", at: offset)
        }
        if first == UInt8(ascii: ".") {
            throw failure("a number was expected after the dot", at: offset + 1)
        }
        throw failure("a node was expected, not \(quoted(first))", at: offset)
    }

    /// `n` or `.` straight before a digit.
    private func isNumberPrefix(at place: Int) -> Bool {
        guard place + 1 < text.count else { return false }
        return (text[place] == UInt8(ascii: "n") || text[place] == UInt8(ascii: "."))
            && text[place + 1].isDigit
    }

    private mutating func readNumbers() throws(NodeSpecificationError) -> NodeSpecification.Term {
        let lower = try readNumber()
        guard current == UInt8(ascii: "-") else { return .numbers(lower...lower) }
        offset += 1
        guard let next = current, next != UInt8(ascii: ",") else { return .numbersFrom(lower) }
        guard next.isDigit || isNumberPrefix(at: offset) else {
            throw failure(
                "a number, a comma or the end was expected after the dash, not \(quoted(next))",
                at: offset)
        }
        let upperOffset = offset
        let upper = try readNumber()
        guard lower <= upper else {
            throw failure("the range runs backwards: \(upper) is below \(lower)", at: upperOffset)
        }
        return .numbers(lower...upper)
    }

    /// Decimal digits with an optional prefix; the caller has seen that a digit is there.
    private mutating func readNumber() throws(NodeSpecificationError) -> NodeNumber {
        if let prefix = current, !prefix.isDigit { offset += 1 }
        let start = offset
        var value: Int32 = 0
        while let digit = current, digit.isDigit {
            let (tens, tensOverflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, sumOverflow) = tens.addingReportingOverflow(
                Int32(digit - UInt8(ascii: "0")))
            guard !tensOverflow, !sumOverflow else {
                throw failure(
                    "the number is too large: nodes go up to \(NodeNumber.highest)", at: start)
            }
            value = sum
            offset += 1
        }
        return NodeNumber(value)
    }

    private mutating func readWord() throws(NodeSpecificationError) -> NodeSpecification.Term {
        let start = offset
        while let byte = current, byte.isWordByte { offset += 1 }
        var word = text[start..<offset]
        if word.elementsEqual("master".utf8) { return .master }
        if word.starts(with: "all".utf8) { word = word.dropFirst(3) }
        if word.isEmpty { return .all }
        let isInverted = word.starts(with: "not".utf8)
        if isInverted { word = word.dropFirst(3) }
        guard !word.isEmpty else {
            throw failure("the name of a state was expected after \"not\"", at: offset)
        }
        guard word.count <= NodeSpecification.stateByteLimit else {
            throw failure(
                "the name of a state has at most \(NodeSpecification.stateByteLimit) characters, "
                    + "this one has \(word.count)", at: word.startIndex)
        }
        let name = String(decoding: word, as: UTF8.self)
        return isInverted ? .notInState(name) : .inState(name)
    }

    private func quoted(_ byte: UInt8) -> String {
        switch byte {
        case UInt8(ascii: " "): "a blank"
        case 0x21..<0x7F: "\"\(Character(Unicode.Scalar(byte)))\""
        default: "the byte 0x\(String(byte, radix: 16, uppercase: true))"
        }
    }
}

extension UInt8 {
    fileprivate var isDigit: Bool { self >= UInt8(ascii: "0") && self <= UInt8(ascii: "9") }

    fileprivate var isLetter: Bool {
        let lowered = self | 0x20
        return lowered >= UInt8(ascii: "a") && lowered <= UInt8(ascii: "z")
    }

    /// What the name of a state may hold after its first letter.
    fileprivate var isWordByte: Bool {
        isLetter || isDigit || self == UInt8(ascii: "_")
    }
}
