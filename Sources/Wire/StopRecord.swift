/// A rank that has stopped, or goes on: one of the records in the body of a stop frame.
public struct StopRecord: Equatable, Sendable {
    public static let byteCount = 20

    public var launch: UInt64
    public var rank: UInt32
    /// What has stopped it; 0: it goes on.
    public var signal: Int32
    /// The last stop or continue of its ghost's that had reached it (`RankSignal.sequence`).
    public var sequence: UInt32

    public init(launch: UInt64, rank: UInt32, signal: Int32, sequence: UInt32) {
        self.launch = launch
        self.rank = rank
        self.signal = signal
        self.sequence = sequence
    }

    public static func frame(_ records: [StopRecord]) -> [UInt8] {
        var writer = WireWriter(reservingByteCount: records.count * byteCount)
        for record in records {
            writer.write(record.launch)
            writer.write(record.rank)
            writer.write(record.signal)
            writer.write(record.sequence)
        }
        return FrameHeader.frame(FrameHeader(.stop), body: writer.bytes)
    }

    public static func records(decoding body: [UInt8]) throws(WireError) -> [StopRecord] {
        guard body.count % byteCount == 0 else {
            throw .trailingBytes(count: body.count % byteCount)
        }
        var reader = WireReader(body)
        var records: [StopRecord] = []
        records.reserveCapacity(body.count / byteCount)
        while reader.remainingByteCount > 0 {
            records.append(
                StopRecord(
                    launch: try reader.read(UInt64.self, "stop launch"),
                    rank: try reader.read(UInt32.self, "stop rank"),
                    signal: try reader.read(Int32.self, "stop signal"),
                    sequence: try reader.read(UInt32.self, "stop sequence")))
        }
        return records
    }
}
