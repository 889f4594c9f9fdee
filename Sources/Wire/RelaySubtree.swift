/// One node of the relay tree and everything below it, in preorder. Each entry says how many bytes
/// its own subtree takes, so a relay cuts its children's parts out without reading them.
public struct RelaySubtree: Equatable, Sendable {
    /// A process to start: its rank in the launch and the number it has on the front end.
    public struct Rank: Equatable, Sendable {
        public var rank: UInt32
        public var process: Int32
        public init(rank: UInt32, process: Int32) {
            self.rank = rank
            self.process = process
        }
    }

    /// One node: who it is, where it listens, what it starts.
    public struct Entry: Equatable, Sendable {
        public var node: Int32
        public var address: NodeAddress
        public var ranks: [Rank]
        public init(node: Int32, address: NodeAddress, ranks: [Rank]) {
            self.node = node
            self.address = address
            self.ranks = ranks
        }
    }

    static let entryByteCount = 4 + 4 + NodeAddress.byteCount + 4
    static let rankByteCount = 8
    /// A tree's bytes must fit a launch frame.
    public static let byteLimit = 12 << 20

    /// The encoded subtree; checked to be well formed when it was decoded or built.
    public let bytes: [UInt8]

    /// Builds the bytes from entries in preorder and the index one past each entry's subtree.
    public init(preorder entries: [Entry], subtreeEnds: [Int]) {
        precondition(entries.count == subtreeEnds.count && !entries.isEmpty)
        var byteStart = [Int](repeating: 0, count: entries.count + 1)
        for (index, entry) in entries.enumerated() {
            byteStart[index + 1] =
                byteStart[index] + Self.entryByteCount + entry.ranks.count * Self.rankByteCount
        }
        var writer = WireWriter(reservingByteCount: byteStart[entries.count])
        for (index, entry) in entries.enumerated() {
            let end = subtreeEnds[index]
            precondition(end > index && end <= entries.count)
            writer.write(UInt32(byteStart[end] - byteStart[index]))
            writer.write(entry.node)
            entry.address.write(to: &writer)
            writer.write(UInt32(entry.ranks.count))
            for rank in entry.ranks {
                writer.write(rank.rank)
                writer.write(rank.process)
            }
        }
        bytes = writer.bytes
    }

    /// Adopts received bytes: every entry and every length is read once here, so that later cuts
    /// cannot go wrong.
    public init(validating bytes: [UInt8]) throws(WireError) {
        var reader = WireReader(bytes)
        var openEnds: [Int] = []
        var isFirst = true
        while reader.remainingByteCount > 0 {
            while let end = openEnds.last, end == reader.offset { openEnds.removeLast() }
            let start = reader.offset
            let byteCount = Int(try reader.read(UInt32.self, "subtree byte count"))
            let end = start + byteCount
            guard byteCount >= Self.entryByteCount, end <= openEnds.last ?? bytes.count,
                !isFirst || end == bytes.count
            else { throw .invalidValue(field: "subtree byte count", value: UInt64(byteCount)) }
            isFirst = false
            _ = try reader.skip(4, "node")
            _ = try NodeAddress(from: &reader)
            let rankCount = try reader.readCount(
                elementByteCount: Self.rankByteCount, limit: 1 << 20, "rank count")
            _ = try reader.skip(rankCount * Self.rankByteCount, "ranks")
            guard reader.offset <= end else {
                throw .invalidValue(field: "subtree byte count", value: UInt64(byteCount))
            }
            openEnds.append(end)
        }
        guard !isFirst else {
            throw .truncated(field: "subtree", needed: Self.entryByteCount, available: 0)
        }
        self.bytes = bytes
    }

    private init(trusted bytes: [UInt8]) { self.bytes = bytes }

    /// The entry at the root of this subtree.
    public var root: Entry { entry(at: 0).entry }

    /// The subtrees of the root's children, in the order they are served.
    public var children: [RelaySubtree] {
        var children: [RelaySubtree] = []
        var offset = entry(at: 0).end
        while offset < bytes.count {
            let byteCount = Int(load(UInt32.self, at: offset))
            children.append(RelaySubtree(trusted: Array(bytes[offset..<(offset + byteCount)])))
            offset += byteCount
        }
        return children
    }

    /// Every entry, root first.
    public var entries: [Entry] {
        var entries: [Entry] = []
        var offset = 0
        while offset < bytes.count {
            let (entry, end) = entry(at: offset)
            entries.append(entry)
            offset = end
        }
        return entries
    }

    private func load<T: FixedWidthInteger & BitwiseCopyable>(_ type: T.Type, at offset: Int) -> T {
        // The bytes were validated as a whole by both public initializers.
        T(
            littleEndian: unsafe bytes.span.bytes.unsafeLoadUnaligned(
                fromByteOffset: offset, as: T.self))
    }

    private func entry(at offset: Int) -> (entry: Entry, end: Int) {
        var reader = WireReader(bytes, in: offset..<bytes.count)
        do {
            _ = try reader.skip(4, "")
            let node = try reader.read(Int32.self, "")
            let address = try NodeAddress(from: &reader)
            let rankCount = Int(try reader.read(UInt32.self, ""))
            var ranks: [Rank] = []
            ranks.reserveCapacity(rankCount)
            for _ in 0..<rankCount {
                let rank = try reader.read(UInt32.self, "")
                ranks.append(Rank(rank: rank, process: try reader.read(Int32.self, "")))
            }
            return (Entry(node: node, address: address, ranks: ranks), reader.offset)
        } catch {
            preconditionFailure("a validated subtree does not decode: \(error)")
        }
    }
}
