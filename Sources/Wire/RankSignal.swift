/// A signal on its way to a rank.
public struct RankSignal: Equatable, Sendable {
    public static let byteCount = 8

    public var number: Int32
    public var reach: SignalReach
    /// Counts the stops and continues that a rank is sent by its ghost; 0: it comes from elsewhere.
    /// What the slave tells of the rank repeats the last, so its receiver knows whether the two
    /// have crossed.
    public var sequence: UInt32

    public init(_ number: Int32, reach: SignalReach, sequence: UInt32 = 0) {
        self.number = number
        self.reach = reach
        self.sequence = sequence
    }

    /// - Parameter rank: or `FrameHeader.allRanks`.
    public func frame(launch: UInt64, rank: UInt32) -> [UInt8] {
        var writer = WireWriter(reservingByteCount: Self.byteCount)
        writer.write(number)
        writer.write(sequence)
        return FrameHeader.frame(
            FrameHeader(.signal, launch: launch, subject: rank, stream: reach.rawValue),
            body: writer.bytes)
    }

    public init(_ header: FrameHeader, decoding body: [UInt8]) throws(WireError) {
        var reader = WireReader(body)
        number = try reader.read(Int32.self, "signal number")
        sequence = try reader.read(UInt32.self, "signal sequence")
        try reader.finish()
        guard let reach = SignalReach(rawValue: header.stream) else {
            throw .invalidValue(field: "signal reach", value: UInt64(header.stream))
        }
        self.reach = reach
    }
}
