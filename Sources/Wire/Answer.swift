/// What became of ranks: the body of an answer frame, combined on the way up the tree.
public struct Answer: Equatable, Sendable {
    /// A rank whose restorer is about to enter the program.
    public struct Placed: Equatable, Sendable {
        public var rank: UInt32
        /// From "image complete on the node" to the restorer's own word.
        public var undumpNanoseconds: UInt32
        /// Chunks the node received over all its parents, whole or in part.
        /// Below 2^31.
        public var receivedChunkCount: UInt32
        /// It was to have the pid of its ghost, which is taken on its node, and has another there.
        public var hasOtherPid: Bool
        public var times: StageTimes
        public init(
            rank: UInt32, undumpNanoseconds: UInt32, receivedChunkCount: UInt32,
            hasOtherPid: Bool = false, times: StageTimes = StageTimes()
        ) {
            self.rank = rank
            self.undumpNanoseconds = undumpNanoseconds
            self.receivedChunkCount = receivedChunkCount
            self.hasOtherPid = hasOtherPid
            self.times = times
        }
    }

    /// A rank that will not start, and why.
    public struct Failure: Equatable, Sendable {
        public var rank: UInt32
        public var node: Int32
        public var stage: LaunchStage
        public var errorNumber: Int32
        public var reason: String
        public init(
            rank: UInt32, node: Int32, stage: LaunchStage, errorNumber: Int32, reason: String
        ) {
            self.rank = rank
            self.node = node
            self.stage = stage
            self.errorNumber = errorNumber
            self.reason = reason
        }
    }

    public var placed: [Placed] = []
    public var failures: [Failure] = []

    public static let reasonLimit = 159
    static let placedByteCount = 12 + StageTimes.byteCount
    static let failureByteCount = 17
    /// Beside the count of chunks.
    private static let otherPidBit: UInt32 = 1 << 31

    public init() {}

    public var isEmpty: Bool { placed.isEmpty && failures.isEmpty }

    public mutating func append(_ other: Answer) {
        placed.append(contentsOf: other.placed)
        failures.append(contentsOf: other.failures)
    }

    /// - Parameter reachedCount: nodes of the sender's subtree that have the launch, itself
    ///   included, if the launch is watched; else 0.
    public func frame(
        launch: UInt64, flags: FrameHeader.Flags, reachedCount: UInt32 = 0
    ) -> [UInt8] {
        var writer = WireWriter(
            reservingByteCount: 8 + placed.count * Self.placedByteCount + failures.count * 64)
        writer.write(UInt32(placed.count))
        for entry in placed {
            writer.write(entry.rank)
            writer.write(entry.undumpNanoseconds)
            let count = entry.receivedChunkCount & ~Self.otherPidBit
            writer.write(entry.hasOtherPid ? count | Self.otherPidBit : count)
            entry.times.write(to: &writer)
        }
        writer.write(UInt32(failures.count))
        for failure in failures {
            writer.write(failure.rank)
            writer.write(failure.node)
            writer.write(failure.stage.rawValue)
            writer.write(failure.errorNumber)
            writer.write(text: failure.reason, limit: Self.reasonLimit)
        }
        return FrameHeader.frame(
            FrameHeader(.answer, launch: launch, subject: reachedCount, flags: flags),
            body: writer.bytes)
    }

    public init(decoding body: [UInt8]) throws(WireError) {
        var reader = WireReader(body)
        let placedCount = try reader.readCount(
            elementByteCount: Self.placedByteCount, limit: 1 << 20, "placed count")
        placed.reserveCapacity(placedCount)
        for _ in 0..<placedCount {
            let rank = try reader.read(UInt32.self, "placed rank")
            let nanoseconds = try reader.read(UInt32.self, "undump nanoseconds")
            let chunkCount = try reader.read(UInt32.self, "received chunk count")
            placed.append(
                Placed(
                    rank: rank, undumpNanoseconds: nanoseconds,
                    receivedChunkCount: chunkCount & ~Self.otherPidBit,
                    hasOtherPid: chunkCount & Self.otherPidBit != 0,
                    times: try StageTimes(from: &reader)))
        }
        let failureCount = try reader.readCount(
            elementByteCount: Self.failureByteCount, limit: 1 << 20, "failure count")
        failures.reserveCapacity(failureCount)
        for _ in 0..<failureCount {
            let rank = try reader.read(UInt32.self, "failed rank")
            let node = try reader.read(Int32.self, "failed node")
            let rawStage = try reader.read(UInt8.self, "failure stage")
            guard let stage = LaunchStage(rawValue: rawStage) else {
                throw .invalidValue(field: "failure stage", value: UInt64(rawStage))
            }
            let errorNumber = try reader.read(Int32.self, "failure error number")
            guard errorNumber > 0 else {
                throw .invalidValue(
                    field: "failure error number", value: UInt64(UInt32(bitPattern: errorNumber)))
            }
            failures.append(
                Failure(
                    rank: rank, node: node, stage: stage, errorNumber: errorNumber,
                    reason: try reader.readText(limit: Self.reasonLimit, "failure reason")))
        }
        try reader.finish()
    }
}
