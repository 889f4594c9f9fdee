/// What a node says of the processes that it has started, and of those that they have started.
public struct ProcessReport: Equatable, Sendable {
    public struct Entry: Equatable, Sendable {
        /// The rank that it is, or that has started it.
        public var launch: UInt64
        public var rank: UInt32
        public var isDescendant: Bool
        /// The node's own number for it, and for its parent.
        public var localProcess: Int32
        public var localParent: Int32
        /// Whose rights it has now.
        public var user: UInt32
        /// The kernel's letter.
        public var state: UInt8
        public var userMicroseconds: UInt64
        public var systemMicroseconds: UInt64
        public var elapsedMicroseconds: UInt64
        public var residentByteCount: UInt64
        public var command: String

        public init(
            launch: UInt64, rank: UInt32, isDescendant: Bool, localProcess: Int32,
            localParent: Int32, user: UInt32, state: UInt8, userMicroseconds: UInt64,
            systemMicroseconds: UInt64, elapsedMicroseconds: UInt64, residentByteCount: UInt64,
            command: String
        ) {
            self.launch = launch
            self.rank = rank
            self.isDescendant = isDescendant
            self.localProcess = localProcess
            self.localParent = localParent
            self.user = user
            self.state = state
            self.userMicroseconds = userMicroseconds
            self.systemMicroseconds = systemMicroseconds
            self.elapsedMicroseconds = elapsedMicroseconds
            self.residentByteCount = residentByteCount
            self.command = command
        }
    }

    public var entries: [Entry]

    /// A node sends as many reports as it needs.
    public static let entryLimit = 2048
    public static let commandByteLimit = 127
    /// Room for the most entries with the longest commands.
    public static let byteLimit: UInt32 = 400 << 10

    public init(entries: [Entry] = []) { self.entries = entries }

    /// - Parameters:
    ///   - number: the question's.
    ///   - isLast: no report of this node follows.
    public func frame(number: UInt32, isLast: Bool) -> [UInt8] {
        precondition(entries.count <= Self.entryLimit)
        var writer = WireWriter(reservingByteCount: 4 + entries.count * 100)
        writer.write(UInt32(entries.count))
        for entry in entries {
            writer.write(entry.launch)
            writer.write(entry.rank)
            writer.write(UInt8(entry.isDescendant ? 1 : 0))
            writer.write(entry.state)
            writer.write(entry.localProcess)
            writer.write(entry.localParent)
            writer.write(entry.user)
            writer.write(entry.userMicroseconds)
            writer.write(entry.systemMicroseconds)
            writer.write(entry.elapsedMicroseconds)
            writer.write(entry.residentByteCount)
            writer.write(text: entry.command, limit: Self.commandByteLimit)
        }
        return FrameHeader.frame(
            FrameHeader(.processes, subject: number, flags: isLast ? .final : []),
            body: writer.bytes)
    }

    public init(decoding body: [UInt8]) throws(WireError) {
        var reader = WireReader(body)
        let count = try reader.readCount(
            elementByteCount: 62, limit: Self.entryLimit, "process count")
        entries = []
        entries.reserveCapacity(count)
        for _ in 0..<count { entries.append(try Entry(from: &reader)) }
        try reader.finish()
    }
}

extension ProcessReport.Entry {
    init(from reader: inout WireReader) throws(WireError) {
        launch = try reader.read(UInt64.self, "process launch")
        rank = try reader.read(UInt32.self, "process rank")
        let kind = try reader.read(UInt8.self, "process kind")
        guard kind <= 1 else { throw .invalidValue(field: "process kind", value: UInt64(kind)) }
        isDescendant = kind == 1
        state = try reader.read(UInt8.self, "process state")
        localProcess = try reader.read(Int32.self, "process number")
        localParent = try reader.read(Int32.self, "process parent")
        user = try reader.read(UInt32.self, "process user")
        userMicroseconds = try reader.read(UInt64.self, "process user time")
        systemMicroseconds = try reader.read(UInt64.self, "process system time")
        elapsedMicroseconds = try reader.read(UInt64.self, "process age")
        residentByteCount = try reader.read(UInt64.self, "process memory")
        command = try reader.readText(
            limit: ProcessReport.commandByteLimit, "process command")
    }
}
