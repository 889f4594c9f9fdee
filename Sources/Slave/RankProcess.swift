import System

/// A process this slave started for one rank: its pid, and the ends of its standard streams.
final class RankProcess {
    enum Phase {
        /// The restorer is at work.
        case restoring
        case running
    }

    let launch: UInt64
    let rank: UInt32
    let pid: Int32
    let pidfd: OwnedDescriptor
    var phase: Phase = .restoring
    /// Our ends of stdout and stderr, while they are open.
    var outputs: [OutputStream?]
    var input: InputStream?
    /// Its wait status, once it has ended; it is reported after its last output.
    var exit: ChildExit?

    init(
        launch: UInt64, rank: UInt32, pid: Int32, pidfd: consuming OwnedDescriptor,
        outputs: [OutputStream?], input: InputStream?
    ) {
        self.launch = launch
        self.rank = rank
        self.pid = pid
        self.pidfd = pidfd
        self.outputs = outputs
        self.input = input
    }

    /// Ended, and nothing of its output is left to read.
    var isFinished: Bool { exit != nil && outputs.allSatisfy { $0 == nil } }
}

/// One output stream of a rank on its way to the front end: read only as far as there is credit.
final class OutputStream {
    let descriptor: OwnedDescriptor
    /// Bytes that may be sent before the front end has consumed some.
    var credit = OutputStream.windowByteCount
    var isPolling = false

    static let windowByteCount = 64 << 10

    init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }
}

/// The input stream of a rank: bytes from the front end that its pipe has not taken yet.
final class InputStream {
    let descriptor: OwnedDescriptor
    var pending: [UInt8] = []
    var isAtEnd = false
    var isPolling = false

    init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }
}
