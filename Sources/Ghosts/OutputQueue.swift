import Glibc

/// Output of the ranks on its way to standard output. What is in here the daemon has sent within
/// its windows, so they bound it.
struct OutputQueue {
    /// Bytes of one rank's stream.
    struct Piece {
        let rank: UInt32
        let stream: UInt32
        var byteCount: Int
    }

    private var bytes: [UInt8] = []
    private var start = 0
    private var pieces: [Piece] = []
    private var firstPiece = 0
    /// Standard output takes nothing any more.
    private(set) var isBroken = false
    /// It has nobody at its other end any more: a pipe, a connection or a terminal.
    private(set) var hasNoReader = false

    var isEmpty: Bool { start == bytes.count }
    var waitingByteCount: Int { bytes.count - start }

    mutating func append(_ output: ArraySlice<UInt8>, rank: UInt32, stream: UInt32) {
        bytes += output
        pieces.append(Piece(rank: rank, stream: stream, byteCount: output.count))
    }

    /// What a pipe or a terminal that is ready takes without blocking.
    private static let writeByteLimit = 4096

    /// Writes what standard output, which is ready, takes at once; `credit` hears of each piece
    /// that has left.
    mutating func write(_ credit: (Piece) -> Void) {
        let count = min(bytes.count - start, Self.writeByteLimit)
        guard count > 0 else { return }
        var written = count
        if !isBroken {
            written = unsafe bytes.withUnsafeBytes {
                unsafe Glibc.write(1, $0.baseAddress! + start, count)
            }
            if written < 0 {
                guard errno != EAGAIN, errno != EINTR else { return }
                hasNoReader = errno == EPIPE || errno == ECONNRESET || errno == EIO
                isBroken = true
                written = count
            }
        }
        leave(written, credit)
    }

    private mutating func leave(_ byteCount: Int, _ credit: (Piece) -> Void) {
        start += byteCount
        var rest = byteCount
        while rest > 0, firstPiece < pieces.count {
            var piece = pieces[firstPiece]
            let part = min(rest, piece.byteCount)
            rest -= part
            pieces[firstPiece].byteCount -= part
            if pieces[firstPiece].byteCount == 0 { firstPiece += 1 }
            piece.byteCount = part
            credit(piece)
        }
        if isEmpty {
            bytes.removeAll(keepingCapacity: true)
            pieces.removeAll(keepingCapacity: true)
            start = 0
            firstPiece = 0
        } else if start > 1 << 20 {
            bytes.removeFirst(start)
            pieces.removeFirst(firstPiece)
            start = 0
            firstPiece = 0
        }
    }
}
