/// What one end of a control link remembers of it, so that the conversation outlives the
/// connection: the frames that the other end has not acknowledged, and how many have come from
/// there.
///
/// Frames are numbered by counting, on both ends alike; the numbers are not sent. A connection that
/// takes the place of another one begins with a number that both have agreed on.
public struct FrameJournal: Sendable {
    /// Sent and not acknowledged; the first has the number `acknowledgedCount`.
    private var kept: [[UInt8]] = []
    private var head = 0
    public private(set) var keptByteCount = 0
    /// Counted frames that were sent, or would have been.
    public private(set) var sentCount: UInt64 = 0
    public private(set) var receivedCount: UInt64 = 0
    /// Frames that come once more.
    private var repeatedCount: UInt64 = 0
    private var toldByteCount = 0
    /// Too much was to be kept: the conversation ends with its connection.
    public private(set) var isTorn = false

    /// As much as a link's own backlog: an end that acknowledges less does not read.
    public static let keptByteLimit = 64 << 20
    /// The other end may let go of what it keeps after so many bytes.
    static let acknowledgementByteCount = 256 << 10

    public init() {}

    public var acknowledgedCount: UInt64 { sentCount - UInt64(kept.count - head) }

    /// - Parameter frame: a whole frame of a kind that is counted.
    public mutating func willSend(_ frame: [UInt8]) {
        sentCount += 1
        guard !isTorn else { return }
        kept.append(frame)
        keptByteCount += frame.count
        if keptByteCount > Self.keptByteLimit { tear() }
    }

    private mutating func tear() {
        isTorn = true
        kept.removeAll()
        head = 0
        keptByteCount = 0
    }

    /// The other end has received so many counted frames.
    public mutating func acknowledge(_ count: UInt64) throws(WireError) {
        guard count <= sentCount else {
            throw .invalidValue(field: "acknowledged frames", value: count)
        }
        guard !isTorn, count > acknowledgedCount else { return }
        for _ in acknowledgedCount..<count {
            keptByteCount -= kept[head].count
            kept[head] = []
            head += 1
        }
        if head == kept.count {
            kept.removeAll(keepingCapacity: kept.count < 64)
            head = 0
        } else if head > 64, head * 2 > kept.count {
            kept.removeFirst(head)
            head = 0
        }
    }

    /// A counted frame has come.
    /// - Returns: whether it is to be acted on; else it has been already.
    public mutating func receive(byteCount: Int) -> Bool {
        guard repeatedCount == 0 else {
            repeatedCount -= 1
            return false
        }
        receivedCount += 1
        toldByteCount += byteCount
        return true
    }

    /// Whether the other end should hear how much has come, before it is asked for a sign of life.
    public var owesAcknowledgement: Bool { toldByteCount >= Self.acknowledgementByteCount }

    /// What has come so far is being told.
    public mutating func tell() -> UInt64 {
        toldByteCount = 0
        return receivedCount
    }

    // MARK: Another connection

    /// The frames that the other end lacks, which has received `count`; nil: they are not here any
    /// more, or have never been.
    public mutating func resume(after count: UInt64) -> (
        first: UInt64, frames: ArraySlice<[UInt8]>
    )? {
        guard !isTorn, (try? acknowledge(count)) != nil else { return nil }
        return (acknowledgedCount, kept[head...])
    }

    /// The other end begins with the frame of this number.
    /// - Returns: false: frames before it are missing.
    public mutating func expect(first: UInt64) -> Bool {
        guard first <= receivedCount else { return false }
        repeatedCount = receivedCount - first
        return true
    }
}
