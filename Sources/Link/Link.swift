import Relay
import System
import Wire

/// One connection to another daemon. A class, because the ring holds addresses inside its buffer
/// while an operation is under way.
@safe
final class Link {
    enum State {
        /// Our connect is under way.
        case connecting
        /// Accepted; the peer's hello has not come.
        case awaitingHello
        case open
        /// Being closed: what is queued may still go out, nothing is read.
        case draining
        /// Closed; waits for the ring to give its buffers back.
        case closed
    }

    let id: LinkID
    let descriptor: OwnedDescriptor
    let peer: NodeAddress
    var state: State
    var outgoing = OutgoingQueue()
    /// The header of the frame at the front of `outgoing`, while that is a chunk.
    let headerBytes: UnsafeMutableRawBufferPointer
    /// Received bytes that are not understood yet.
    let window: UnsafeMutableRawBufferPointer
    var windowStart = 0
    var windowEnd = 0
    /// The frame whose body is being received.
    var current: FrameHeader?
    /// Its bytes so far, unless it is a chunk with a place of its own.
    var body: [UInt8] = []
    /// Where the rest of the current chunk goes; nil base: it is dropped.
    var chunkPlace: UnsafeMutableRawBufferPointer?
    var chunkReceivedByteCount = 0
    var isDropping = false
    /// Bytes of the chunk frame that is expected to follow the last one; 0: anything may come.
    var followingByteCount = 0
    private var lowWater = 1
    var isReceiving = false
    var isPollingWritable = false
    var isConnecting = false

    static let windowByteCount = 4096
    /// A quarter of the second-level cache of today's servers.
    static let pieceByteCount = 256 << 10
    /// One wake-up per mebibyte is as good as fewer, measured; sockets hold that much.
    static let lowWaterLimit = 1 << 20

    init(id: LinkID, descriptor: consuming OwnedDescriptor, peer: NodeAddress, state: State) {
        self.id = id
        self.descriptor = descriptor
        self.peer = peer
        self.state = state
        unsafe window = .allocate(byteCount: Self.windowByteCount, alignment: 16)
        unsafe headerBytes = .allocate(byteCount: FrameHeader.byteCount, alignment: 16)
    }

    deinit {
        // A daemon that ends lets go of links that are still receiving: the kernel may write into
        // the window until the ring is gone, so the memory is left to the end of the process.
        if !isReceiving { unsafe window.deallocate() }
        unsafe headerBytes.deallocate()
    }

    var isListening: Bool { state == .open || state == .awaitingHello }

    /// Bytes that are known to be on their way for the present chunk or the next: 0 where the next
    /// frame may be of any kind.
    var awaitedByteCount: Int {
        if unsafe chunkPlace != nil { return unsafe chunkPlace!.count - chunkReceivedByteCount }
        if isDropping || current != nil || windowEnd > windowStart { return 0 }
        return followingByteCount
    }

    /// Where the next bytes of the present chunk go: no more than stay in the processor's cache
    /// until they are checked.
    var chunkSpace: UnsafeMutableRawBufferPointer {
        let rest = unsafe chunkPlace![chunkReceivedByteCount...]
        return unsafe UnsafeMutableRawBufferPointer(rebasing: rest.prefix(Self.pieceByteCount))
    }

    /// The free part of the window, which is never empty: what is left in it is less than a header.
    func windowSpace() -> UnsafeMutableRawBufferPointer {
        if windowStart == windowEnd {
            windowStart = 0
            windowEnd = 0
        } else if windowEnd == Self.windowByteCount {
            let count = windowEnd - windowStart
            unsafe window.copyMemory(
                from: UnsafeRawBufferPointer(rebasing: window[windowStart..<windowEnd]))
            windowStart = 0
            windowEnd = count
        }
        return unsafe UnsafeMutableRawBufferPointer(rebasing: window[windowEnd...])
    }

    func setLowWater(_ byteCount: Int) {
        guard byteCount != lowWater else { return }
        lowWater = byteCount
        Socket.setLowWater(descriptor.number, byteCount: byteCount)
    }

    var hasPendingOperations: Bool { isReceiving || isPollingWritable || isConnecting }
}
