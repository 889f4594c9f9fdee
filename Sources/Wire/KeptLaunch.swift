/// Processes of one launch that a slave takes along to another master. What it says of them is
/// what it has set itself when it started them.
public struct KeptLaunch: Equatable, Sendable {
    public struct Rank: Equatable, Sendable {
        public var rank: UInt32
        /// The number that the process has had so far.
        public var process: Int32

        public init(rank: UInt32, process: Int32) {
            self.rank = rank
            self.process = process
        }
    }

    /// As the slave knows it: of no meaning to a master but that it tells two launches apart.
    public var launch: UInt64
    public var user: UInt32
    public var group: UInt32
    public var supplementaryGroups: [UInt32]
    public var ranks: [Rank]

    /// Most ranks in one frame; a launch with more has several.
    public static let frameRankLimit = 4096
    /// Most ranks that a slave takes along.
    public static let rankLimit = 1 << 14
    /// Most bytes of all frames of one slave together.
    public static let byteLimit = 4 << 20
    /// Room for the most ranks and the most groups in one frame.
    static let frameByteLimit: UInt32 = 512 << 10

    public init(
        launch: UInt64, user: UInt32, group: UInt32, supplementaryGroups: [UInt32], ranks: [Rank]
    ) {
        self.launch = launch
        self.user = user
        self.group = group
        self.supplementaryGroups = supplementaryGroups
        self.ranks = ranks
    }

    /// - Parameter isLast: nothing follows that the slave takes along.
    public func frame(isLast: Bool) -> [UInt8] {
        precondition(ranks.count <= Self.frameRankLimit)
        var writer = WireWriter(
            reservingByteCount: 16 + 4 * supplementaryGroups.count + 8 * ranks.count)
        writer.write(user)
        writer.write(group)
        writer.write(UInt32(supplementaryGroups.count))
        for group in supplementaryGroups { writer.write(group) }
        writer.write(UInt32(ranks.count))
        for rank in ranks {
            writer.write(rank.rank)
            writer.write(rank.process)
        }
        return FrameHeader.frame(
            FrameHeader(.kept, launch: launch, flags: isLast ? .final : []), body: writer.bytes)
    }

    /// The frames for all that a slave takes along.
    public static func frames(_ all: [KeptLaunch]) -> [[UInt8]] {
        var parts: [KeptLaunch] = []
        for launch in all {
            for start in stride(from: 0, to: launch.ranks.count, by: frameRankLimit) {
                var part = launch
                part.ranks = Array(launch.ranks[start...].prefix(frameRankLimit))
                parts.append(part)
            }
        }
        return parts.indices.map { parts[$0].frame(isLast: $0 == parts.count - 1) }
    }

    public init(_ header: FrameHeader, decoding body: [UInt8]) throws(WireError) {
        var reader = WireReader(body)
        launch = header.launch
        user = try reader.read(UInt32.self, "kept user")
        group = try reader.read(UInt32.self, "kept group")
        let groupCount = try reader.readCount(
            elementByteCount: 4, limit: LaunchOrder.groupLimit, "kept group count")
        supplementaryGroups = []
        supplementaryGroups.reserveCapacity(groupCount)
        for _ in 0..<groupCount {
            supplementaryGroups.append(try reader.read(UInt32.self, "kept group"))
        }
        let rankCount = try reader.readCount(
            elementByteCount: 8, limit: Self.frameRankLimit, "kept rank count")
        ranks = []
        ranks.reserveCapacity(rankCount)
        for _ in 0..<rankCount {
            let rank = try reader.read(UInt32.self, "kept rank")
            let process = try reader.read(Int32.self, "kept process")
            guard process > 0 else {
                throw .invalidValue(
                    field: "kept process", value: UInt64(UInt32(bitPattern: process)))
            }
            ranks.append(Rank(rank: rank, process: process))
        }
        try reader.finish()
    }
}
