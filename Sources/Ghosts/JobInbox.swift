import CLocalProtocol
package import LocalProtocol

/// What a job channel has to tell the server of the job's ghosts.
package enum JobNews: Equatable, Sendable {
    case ended(rank: Int, status: Int32, isNodeDeath: Bool)
    /// By this signal; 0: it goes on. `sequence` is that of the last order that had reached it.
    case stopped(rank: Int, signal: Int32, sequence: UInt32)
    /// Bytes that a rank has written to stream 1 or 2, in the channel's buffer.
    case output(rank: UInt32, stream: UInt32, bytes: Range<Int>)
    case outputEnded(rank: Int, stream: UInt32)
    /// A rank's process comes back to where its ghost is.
    case arrives(RankArrival)
    /// The daemon asks what the server keeps.
    case bookRequested(request: UInt32)
}

/// A rank's process that comes back to where its ghost is.
package struct RankArrival: Equatable, Sendable {
    /// By which it moves.
    package let launch: UInt64
    package let rank: Int
    /// The socket of the slave that has its image, and that of the daemon which the process is to
    /// speak to; each ends with a 0.
    let slave: [CChar]
    let daemon: [CChar]

    init(_ raw: bproc_local_rank_arrives) {
        launch = raw.launch
        rank = Int(raw.rank)
        slave = Self.text(of: raw.slave)
        daemon = Self.text(of: raw.daemon)
    }

    private static func text<Field: BitwiseCopyable>(of field: Field) -> [CChar] {
        LocalMessage.bytes(of: field).prefix { $0 != 0 }.map { CChar(bitPattern: $0) } + [0]
    }
}

/// The receiving half of a job channel: bytes in, news out. Output stays where it was received
/// until it is passed on.
package struct JobInbox: Sendable {
    package private(set) var bytes: [UInt8] = []
    private var start = 0
    /// Within an EXIT message: what of it has been told.
    private var exitIndex = 0

    package init() {}

    /// Adds what was received; news told before is not to be used any more.
    package mutating func append(_ received: ArraySlice<UInt8>) {
        if start == bytes.count {
            bytes.removeAll(keepingCapacity: true)
            start = 0
        } else if start > 1 << 20 {
            bytes.removeFirst(start)
            start = 0
        }
        bytes += received
    }

    /// The next piece of news, nil if more bytes have to come first.
    package mutating func next() throws(LocalProtocolError) -> JobNews? {
        while let header = LocalMessage.load(bproc_local_header.self, from: bytes, at: start) {
            guard header.magic == UInt32(BPROC_LOCAL_MAGIC) else { throw .badMagic }
            guard header.version == UInt16(BPROC_LOCAL_VERSION) else {
                throw .versionMismatch(theirs: header.version)
            }
            guard header.body_bytes <= UInt32(BPROC_LOCAL_BODY_MAX) else {
                throw .tooLarge(byteCount: header.body_bytes)
            }
            let body = start + LocalMessage.headerByteCount
            let end = body + Int(header.body_bytes)
            guard end <= bytes.count else { return nil }
            switch bproc_local_kind(rawValue: UInt32(header.kind)) {
            case BPROC_LOCAL_EXIT:
                if let news = try nextExit(body..<end) { return news }
            case BPROC_LOCAL_STOP:
                guard let raw = LocalMessage.load(bproc_local_stop.self, from: bytes, at: body),
                    header.body_bytes >= UInt32(MemoryLayout<bproc_local_stop>.size)
                else { throw .tooSmall("stop message") }
                start = end
                return .stopped(
                    rank: Int(raw.rank), signal: raw.signal, sequence: raw.sequence)
            case BPROC_LOCAL_OUTPUT:
                start = end
                return try output(body..<end)
            case BPROC_LOCAL_RANK_ARRIVES:
                guard
                    let raw = LocalMessage.load(
                        bproc_local_rank_arrives.self, from: bytes, at: body),
                    header.body_bytes == UInt32(MemoryLayout<bproc_local_rank_arrives>.size)
                else { throw .tooSmall("message of an arrival") }
                start = end
                return .arrives(RankArrival(raw))
            case BPROC_LOCAL_GHOSTS_BOOK_REQUEST:
                start = end
                return .bookRequested(request: header.request)
            default:
                // Progress, credit for input that nobody sends, and the answer to a signal that
                // came too late.
                break
            }
            start = end
        }
        return nil
    }

    private mutating func nextExit(_ body: Range<Int>) throws(LocalProtocolError) -> JobNews? {
        let size = MemoryLayout<bproc_local_exit>.size
        guard body.count % size == 0 else { throw .tooSmall("exit message") }
        guard exitIndex < body.count / size else {
            exitIndex = 0
            return nil
        }
        let place = body.lowerBound + exitIndex * size
        let raw = LocalMessage.load(bproc_local_exit.self, from: bytes, at: place)!
        exitIndex += 1
        let isNodeDeath =
            raw.cause != BPROC_LOCAL_CAUSE_OWN.rawValue
            && raw.cause != BPROC_LOCAL_CAUSE_MOVED.rawValue
        return .ended(rank: Int(raw.rank), status: raw.status, isNodeDeath: isNodeDeath)
    }

    private func output(_ body: Range<Int>) throws(LocalProtocolError) -> JobNews {
        let size = MemoryLayout<bproc_local_stream>.size
        guard body.count >= size else { throw .tooSmall("output message") }
        let raw = LocalMessage.load(bproc_local_stream.self, from: bytes, at: body.lowerBound)!
        if body.count == size { return .outputEnded(rank: Int(raw.rank), stream: raw.stream) }
        return .output(
            rank: raw.rank, stream: raw.stream, bytes: (body.lowerBound + size)..<body.upperBound)
    }
}
