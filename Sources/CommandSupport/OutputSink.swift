import CSystem
import Glibc
public import System

/// A queue before a descriptor that is written when poll says so, and never waits.
///
/// The descriptor belongs to others too (it is inherited), so it is not made non-blocking: a pipe
/// that poll calls writable takes at least 4096 bytes at once (pipe(7), PIPE_BUF), and no more are
/// written.
public struct OutputSink: ~Copyable {
    public let descriptor: Int32
    private let pieceByteCount: Int
    private let isSocket: Bool
    private var queue: [[UInt8]] = []
    private var head = 0
    private var headOffset = 0
    public private(set) var pendingByteCount = 0

    /// Borrows a descriptor.
    public init(descriptor: Int32) {
        self.descriptor = descriptor
        let kind = bp_command_output_kind(descriptor)
        isSocket = kind == 2
        pieceByteCount = kind == 1 ? 4096 : 1 << 20
    }

    public var isEmpty: Bool { pendingByteCount == 0 }

    public mutating func append(_ bytes: [UInt8]) {
        guard !bytes.isEmpty else { return }
        queue.append(bytes)
        pendingByteCount += bytes.count
    }

    /// Writes one piece; call it when poll has reported the descriptor writable.
    public mutating func writePiece() throws(SystemCallError) {
        guard head < queue.count else { return }
        let range = headOffset..<min(queue[head].count, headOffset + pieceByteCount)
        let (descriptor, isSocket) = (descriptor, isSocket)
        let count: Int = unsafe queue[head].withUnsafeBytes { bytes in
            let piece = unsafe UnsafeRawBufferPointer(rebasing: bytes[range])
            return isSocket
                ? unsafe send(descriptor, piece.baseAddress, piece.count, Int32(MSG_DONTWAIT))
                : unsafe write(descriptor, piece.baseAddress, piece.count)
        }
        if count < 0 {
            if errno == EINTR || errno == EAGAIN { return }
            throw SystemCallError("write", errorNumber: errno)
        }
        pendingByteCount -= count
        headOffset += count
        if headOffset == queue[head].count {
            queue[head] = []
            head += 1
            headOffset = 0
        }
        if head == queue.count {
            queue.removeAll(keepingCapacity: true)
            head = 0
        } else if head > 1024 {
            queue.removeFirst(head)
            head = 0
        }
    }
}
