/// What a master makes of the processes that a slave has brought along: the place and the number of
/// each, in the order in which they were told.
public struct Adoption: Equatable, Sendable {
    public struct Place: Equatable, Sendable {
        public var launch: UInt64
        public var rank: UInt32
        public var process: Int32

        public init(launch: UInt64, rank: UInt32, process: Int32) {
            self.launch = launch
            self.rank = rank
            self.process = process
        }
    }

    public var places: [Place]

    static let byteLimit = UInt32(4 + 16 * KeptLaunch.rankLimit)

    public init(places: [Place]) { self.places = places }

    public var frame: [UInt8] {
        precondition(places.count <= KeptLaunch.rankLimit)
        var writer = WireWriter(reservingByteCount: 4 + 16 * places.count)
        writer.write(UInt32(places.count))
        for place in places {
            writer.write(place.launch)
            writer.write(place.rank)
            writer.write(place.process)
        }
        return FrameHeader.frame(FrameHeader(.adoption), body: writer.bytes)
    }

    public init(decoding body: [UInt8]) throws(WireError) {
        var reader = WireReader(body)
        let count = try reader.readCount(
            elementByteCount: 16, limit: KeptLaunch.rankLimit, "adopted count")
        places = []
        places.reserveCapacity(count)
        for _ in 0..<count {
            let launch = try reader.read(UInt64.self, "adopted launch")
            let rank = try reader.read(UInt32.self, "adopted rank")
            places.append(
                Place(
                    launch: launch, rank: rank,
                    process: try reader.read(Int32.self, "adopted process")))
        }
        try reader.finish()
    }
}
