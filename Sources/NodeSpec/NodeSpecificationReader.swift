extension NodeSpecification {
    /// Reads a specification.
    ///
    /// Grammar: a comma list of `number`, `a-b`, `a-`, `a-b:step`, `a-:step`, lists of such in
    /// brackets, `master`, `all`, `@group`, and state names, each of the latter with an optional
    /// `all` and then an optional `not` before it. A number or bracket may carry `n` or `.` in
    /// front; `!` before an element takes its nodes away. Numbers are decimal: 010 is ten. There
    /// are no blanks.
    public init(
        parsing text: String, groups: NodeGroups = NodeGroups()
    ) throws(NodeSpecificationError) {
        let byteCount = text.utf8.count
        guard byteCount <= Self.textByteLimit else {
            throw NodeSpecificationError(
                "the text is \(byteCount) bytes long; at most \(Self.textByteLimit) are read",
                at: 0, in: Array(text.utf8.prefix(64)))
        }
        var reader = NodeSpecificationReader(text: Array(text.utf8), groups: groups)
        self = try reader.readSpecification()
    }
}

/// Reads a specification from left to right, one byte of look-ahead.
struct NodeSpecificationReader {
    private let text: [UInt8]
    private let groups: NodeGroups
    private var offset = 0
    private var terms: [NodeSpecification.Term] = []
    private var excluded: [NodeSpecification.Term] = []
    /// What counts against the limit: numbers of ranges with a step, and ranges.
    private var steppedCount = 0
    private var rangeCount = 0

    init(text: [UInt8], groups: NodeGroups) {
        self.text = text
        self.groups = groups
    }

    private var current: UInt8? { offset < text.count ? text[offset] : nil }

    private func failure(_ sentence: String, at place: Int) -> NodeSpecificationError {
        NodeSpecificationError(sentence, at: place, in: text)
    }

    mutating func readSpecification() throws(NodeSpecificationError) -> NodeSpecification {
        guard !text.isEmpty else { throw failure("it is empty: no node is named", at: 0) }
        while true {
            let isExcluded = current == UInt8(ascii: "!")
            if isExcluded { offset += 1 }
            let found = try readTerms(isExcluded ? "the exclamation mark" : "the comma")
            if isExcluded { excluded += found } else { terms += found }
            guard let separator = current else {
                return NodeSpecification(terms: terms, excluded: excluded)
            }
            guard separator == UInt8(ascii: ",") else {
                throw failure(
                    "a comma or the end was expected, not \(quoted(separator))", at: offset)
            }
            offset += 1
        }
    }

    /// One element, which may stand for several ranges.
    private mutating func readTerms(
        _ before: String
    ) throws(NodeSpecificationError) -> [NodeSpecification.Term] {
        guard let first = current else {
            throw failure("a node was expected after \(before)", at: offset)
        }
        if first.isDigit || isPrefix(of: \.isDigit) {
            return [try readNumbers(inBracket: false)]
        }
        if first == UInt8(ascii: "[") || isPrefix(of: { $0 == UInt8(ascii: "[") }) {
            return try readBracket()
        }
        if first.isLetter { return [try readWord()] }
        switch first {
        case UInt8(ascii: "@"): return try readGroup()
        case UInt8(ascii: "-"):
            throw failure(
                "a node number is never negative; the front end is written \"master\"", at: offset)
        case UInt8(ascii: ","): throw failure("a node was expected before the comma", at: offset)
        case UInt8(ascii: "."): throw failure("a number was expected after the dot", at: offset + 1)
        default: throw failure("a node was expected, not \(quoted(first))", at: offset)
        }
    }

    /// `n` or `.` straight before such a byte.
    private func isPrefix(of isMeant: (UInt8) -> Bool) -> Bool {
        guard offset + 1 < text.count else { return false }
        return (text[offset] == UInt8(ascii: "n") || text[offset] == UInt8(ascii: "."))
            && isMeant(text[offset + 1])
    }

    private mutating func readBracket() throws(NodeSpecificationError) -> [NodeSpecification.Term] {
        if current != UInt8(ascii: "[") { offset += 1 }
        let bracket = offset
        var ranges: [NodeSpecification.Term] = []
        repeat {
            offset += 1
            guard let digit = current else {
                throw failure("the bracket is not closed", at: bracket)
            }
            guard digit.isDigit else {
                throw failure(
                    "a number was expected in the bracket, not \(quoted(digit))", at: offset)
            }
            ranges.append(try readNumbers(inBracket: true))
        } while current == UInt8(ascii: ",")
        guard let end = current else { throw failure("the bracket is not closed", at: bracket) }
        guard end == UInt8(ascii: "]") else {
            throw failure("a comma or \"]\" was expected, not \(quoted(end))", at: offset)
        }
        offset += 1
        return ranges
    }

    private mutating func readGroup() throws(NodeSpecificationError) -> [NodeSpecification.Term] {
        offset += 1
        let start = offset
        while let byte = current, byte.isGroupByte { offset += 1 }
        guard offset > start else {
            throw failure("the name of a group was expected after \"@\"", at: start)
        }
        guard offset - start <= NodeSpecification.groupNameByteLimit else {
            throw failure(
                "the name of a group has at most \(NodeSpecification.groupNameByteLimit) "
                    + "characters, this one has \(offset - start)", at: start)
        }
        let name = String(decoding: text[start..<offset], as: UTF8.self)
        guard let set = groups.sets[name] else {
            throw failure("there is no group \"\(name)\"", at: start)
        }
        rangeCount += set.ranges.count
        guard rangeCount <= NodeSpecification.nodeCountLimit else {
            throw failure(
                "the groups hold more than \(NodeSpecification.nodeCountLimit) ranges", at: start)
        }
        return set.ranges.map { .numbers($0) }
    }

    private mutating func readNumbers(
        inBracket: Bool
    ) throws(NodeSpecificationError) -> NodeSpecification.Term {
        let start = offset
        let lower = try readNumber()
        guard current == UInt8(ascii: "-") else { return .numbers(lower...lower) }
        offset += 1
        guard let next = current, !isEnd(next, inBracket: inBracket) else {
            return .numbersFrom(lower)
        }
        if next == UInt8(ascii: ":") { return .numbersFrom(lower, by: try readStep()) }
        guard next.isDigit || (!inBracket && isPrefix(of: \.isDigit)) else {
            throw failure(
                "a number, a comma or the end was expected after the dash, not \(quoted(next))",
                at: offset)
        }
        let upperOffset = offset
        let upper = try readNumber()
        guard lower <= upper else {
            throw failure("the range runs backwards: \(upper) is below \(lower)", at: upperOffset)
        }
        guard current == UInt8(ascii: ":") else { return .numbers(lower...upper) }
        let step = try readStep()
        guard step > 1 else { return .numbers(lower...upper) }
        steppedCount += (lower...upper).count(by: step)
        guard steppedCount <= NodeSpecification.nodeCountLimit else {
            throw failure(
                "ranges with a step name more than \(NodeSpecification.nodeCountLimit) nodes",
                at: start)
        }
        let last = upper.rawValue - (upper.rawValue - lower.rawValue) % step
        return last == lower.rawValue
            ? .numbers(lower...lower) : .stepped(lower...NodeNumber(last), by: step)
    }

    private func isEnd(_ byte: UInt8, inBracket: Bool) -> Bool {
        byte == UInt8(ascii: ",") || (inBracket && byte == UInt8(ascii: "]"))
    }

    /// Behind the colon that the caller has seen.
    private mutating func readStep() throws(NodeSpecificationError) -> Int32 {
        offset += 1
        guard let digit = current, digit.isDigit else {
            throw failure("a number was expected after the colon", at: offset)
        }
        let place = offset
        let step = try readNumber().rawValue
        guard step > 0 else { throw failure("a step is at least 1", at: place) }
        return step
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

    /// What the name of a group may hold.
    var isGroupByte: Bool {
        isWordByte || self == UInt8(ascii: ".") || self == UInt8(ascii: "-")
    }
}
