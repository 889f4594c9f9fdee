/// A process that has ended: one of the records in the body of an exit frame.
public struct ExitRecord: Equatable, Sendable {
    public static let byteCount = 40

    public var launch: UInt64
    public var rank: UInt32
    /// As waitpid reports it.
    public var waitStatus: Int32
    public var usage: ResourceUsage

    public init(
        launch: UInt64, rank: UInt32, waitStatus: Int32, usage: ResourceUsage = ResourceUsage()
    ) {
        self.launch = launch
        self.rank = rank
        self.waitStatus = waitStatus
        self.usage = usage
    }

    public static func frame(_ records: [ExitRecord]) -> [UInt8] {
        var writer = WireWriter(reservingByteCount: records.count * byteCount)
        for record in records {
            writer.write(record.launch)
            writer.write(record.rank)
            writer.write(record.waitStatus)
            writer.write(record.usage.userMicroseconds)
            writer.write(record.usage.systemMicroseconds)
            writer.write(record.usage.maximumResidentKilobytes)
        }
        return FrameHeader.frame(FrameHeader(.exit), body: writer.bytes)
    }

    public static func records(decoding body: [UInt8]) throws(WireError) -> [ExitRecord] {
        guard body.count % byteCount == 0 else {
            throw .trailingBytes(count: body.count % byteCount)
        }
        var reader = WireReader(body)
        var records: [ExitRecord] = []
        records.reserveCapacity(body.count / byteCount)
        while reader.remainingByteCount > 0 {
            records.append(
                ExitRecord(
                    launch: try reader.read(UInt64.self, "exit launch"),
                    rank: try reader.read(UInt32.self, "exit rank"),
                    waitStatus: try reader.read(Int32.self, "exit status"),
                    usage: ResourceUsage(
                        userMicroseconds: try reader.read(UInt64.self, "user time"),
                        systemMicroseconds: try reader.read(UInt64.self, "system time"),
                        maximumResidentKilobytes: try reader.read(
                            UInt64.self, "resident size"))))
        }
        return records
    }
}

/// What the master says about a launch a slave has lost the tree of.
public enum Verdict: UInt8, Sendable {
    /// Its ranks are running for their caller: keep them.
    case keep = 0
    /// The caller was told they failed, or is gone: end them.
    case end = 1
    /// The launch is still under way: wait for a new parent.
    case wait = 2
}
