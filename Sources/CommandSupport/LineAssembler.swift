/// Whole lines out of pieces of many streams.
public struct LineAssembler: Sendable {
    public struct Stream: Hashable, Sendable {
        public var rank: Int
        public var descriptor: Int32

        public init(rank: Int, descriptor: Int32) {
            self.rank = rank
            self.descriptor = descriptor
        }
    }

    /// A line is kept until its end comes; one that grows beyond this is handed out in pieces, so
    /// that a stream without newlines cannot take all memory.
    public static let lineByteLimit = 16 << 20

    private let lineByteLimit: Int
    private var partial: [Stream: [UInt8]] = [:]

    public init(lineByteLimit: Int = LineAssembler.lineByteLimit) {
        precondition(lineByteLimit > 0, "a line has room for a byte")
        self.lineByteLimit = lineByteLimit
    }

    /// Adds a piece of a stream and answers all lines that are whole now, newlines included.
    /// - Parameter prefix: put before each line.
    public mutating func add(
        _ piece: [UInt8], to stream: Stream, prefix: [UInt8] = []
    ) -> [UInt8] {
        guard let last = piece.lastIndex(of: 0x0a) else {
            partial[stream, default: []] += piece
            guard partial[stream]!.count >= lineByteLimit else { return [] }
            return prefix + partial.removeValue(forKey: stream)! + [0x0a]
        }
        let held = partial.removeValue(forKey: stream) ?? []
        if last + 1 < piece.count { partial[stream] = Array(piece[(last + 1)...]) }
        if prefix.isEmpty { return held + piece[...last] }
        var lines = prefix + held
        lines.reserveCapacity(held.count + piece.count + 16 * prefix.count)
        for (index, byte) in piece[...last].enumerated() {
            lines.append(byte)
            if byte == 0x0a && index != last { lines += prefix }
        }
        return lines
    }

    /// The end of a stream: what it held without a newline. With a prefix it gets one, or the next
    /// rank's line would follow on the same.
    public mutating func end(_ stream: Stream, prefix: [UInt8] = []) -> [UInt8] {
        guard let held = partial.removeValue(forKey: stream) else { return [] }
        return prefix.isEmpty ? held : prefix + held + [0x0a]
    }

    /// Streams that hold something, in order: for output that ended without saying so.
    public var openStreams: [Stream] {
        partial.keys.sorted { ($0.rank, $0.descriptor) < ($1.rank, $1.descriptor) }
    }
}
