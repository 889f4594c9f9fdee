/// Records out of bytes that come in pieces.
public struct CopyRecordReader: Sendable {
    private var buffer: [UInt8] = []
    private var start = 0

    public init() {}

    public mutating func add(_ bytes: [UInt8]) {
        if start == buffer.count {
            buffer.removeAll(keepingCapacity: true)
            start = 0
        } else if start > CopyRecord.bodyByteLimit {
            buffer.removeFirst(start)
            start = 0
        }
        buffer += bytes
    }

    /// Nothing of a record is left over.
    public var isEmpty: Bool { start == buffer.count }

    /// The next whole record; nil: more bytes are needed.
    public mutating func next() throws(CopyFormatError) -> CopyRecord? {
        guard buffer.count - start >= CopyRecord.headerByteCount else { return nil }
        let kind = buffer[start]
        guard Array(buffer[(start + 1)..<(start + 4)]) == CopyRecord.mark else { throw .noRecord }
        let byteCount = number(at: start + 4, UInt32.self)
        guard byteCount <= CopyRecord.bodyByteLimit else { throw .tooLong(byteCount) }
        let first = start + CopyRecord.headerByteCount
        guard buffer.count - first >= Int(byteCount) else { return nil }
        let record = try record(kind, first..<(first + Int(byteCount)))
        start = first + Int(byteCount)
        return record
    }

    private func record(_ kind: UInt8, _ body: Range<Int>) throws(CopyFormatError) -> CopyRecord {
        let first = body.lowerBound
        func require(_ isGood: Bool) throws(CopyFormatError) {
            guard isGood else { throw .badBody(kind: kind) }
        }
        switch kind {
        case 1:
            try require(body.count > 16)
            return .directory(
                try EntryName(Array(buffer[(first + 16)..<body.upperBound])),
                mode: try mode(at: first, kind), time: try time(at: first + 4, kind))
        case 3:
            try require(body.count > 28)
            let byteCount = number(at: first + 20, UInt64.self)
            try require(byteCount <= UInt64(Int64.max))
            return .file(
                number: number(at: first, UInt32.self),
                try EntryName(Array(buffer[(first + 28)..<body.upperBound])),
                mode: try mode(at: first + 4, kind), time: try time(at: first + 8, kind),
                byteCount: byteCount)
        case 4:
            try require(!body.isEmpty)
            return .bytes(Array(buffer[body]))
        case 5:
            try require(body.count == 13 && buffer[first + 4] <= 1)
            return .fileEnd(
                number: number(at: first, UInt32.self), isWhole: buffer[first + 4] == 1,
                checksum: number(at: first + 5, UInt64.self))
        case 6:
            try require(body.count >= 12 && body.count <= 12 + CopyRecord.textByteLimit)
            let file = number(at: first + 4, UInt32.self)
            return .failure(
                CopyFailure(
                    node: number(at: first, Int32.self), file: file == .max ? nil : file,
                    errorNumber: number(at: first + 8, Int32.self),
                    sentence: printable(buffer[(first + 12)..<body.upperBound])))
        case 7:
            try require(body.count == 4)
            return .barrier(number(at: first, UInt32.self))
        case 2, 8, 9:
            try require(body.isEmpty)
            return kind == 2 ? .directoryEnd : kind == 8 ? .end : .giveUp
        default: throw .unknownKind(kind)
        }
    }

    /// A sentence that goes to a terminal: nothing in it may steer one.
    private func printable(_ bytes: ArraySlice<UInt8>) -> String {
        String(decoding: bytes.map { $0 < 0x20 || $0 == 0x7f ? 0x3f : $0 }, as: UTF8.self)
    }

    private func mode(at place: Int, _ kind: UInt8) throws(CopyFormatError) -> UInt32 {
        let mode = number(at: place, UInt32.self)
        guard mode <= 0o7777 else { throw .badBody(kind: kind) }
        return mode
    }

    private func time(at place: Int, _ kind: UInt8) throws(CopyFormatError) -> FileTime {
        let nanoseconds = number(at: place + 8, UInt32.self)
        guard nanoseconds < 1_000_000_000 else { throw .badBody(kind: kind) }
        return FileTime(seconds: number(at: place, Int64.self), nanoseconds: nanoseconds)
    }

    private func number<Number: FixedWidthInteger>(at place: Int, _ type: Number.Type) -> Number {
        var number: Number = 0
        for index in (0..<(Number.bitWidth / 8)).reversed() {
            number = number << 8 | Number(truncatingIfNeeded: buffer[place + index])
        }
        return number
    }
}
