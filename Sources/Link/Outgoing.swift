import System
import Wire

/// What waits to be sent on a link: whole frames, and chunks that are read from their file only
/// when the socket has room.
struct OutgoingQueue {
    enum Item {
        case frame([UInt8])
        case chunk(launch: UInt64, index: UInt32)
    }

    private var items: [Item] = []
    private var head = 0
    /// Bytes of the first item that are sent already.
    var sentByteCount = 0
    /// Bytes of frames that wait, for the bound on what a slow peer may pile up.
    private(set) var frameByteCount = 0

    var isEmpty: Bool { head == items.count }
    var first: Item? { isEmpty ? nil : items[head] }
    var hasMore: Bool { items.count - head > 1 }

    mutating func append(_ item: Item) {
        if case .frame(let bytes) = item { frameByteCount += bytes.count }
        items.append(item)
    }

    mutating func removeFirst() {
        if case .frame(let bytes) = items[head] { frameByteCount -= bytes.count }
        head += 1
        sentByteCount = 0
        if head == items.count {
            items.removeAll(keepingCapacity: true)
            head = 0
        } else if head > 256, head * 2 > items.count {
            items.removeFirst(head)
            head = 0
        }
    }

    mutating func removeAll() {
        items.removeAll()
        head = 0
        sentByteCount = 0
        frameByteCount = 0
    }
}
