import Ring
import System
import Wire

/// A process this slave started for one rank: its pid, and our ends of its standard streams.
final class RankProcess {
    private(set) var launch: UInt64
    private(set) var rank: UInt32
    /// What its program takes for its rank.
    let shownRank: UInt32
    /// What it does once it is placed; none: it has been told to go on.
    var waiting: Waiting
    let child: ChildProcess
    /// Its ghost has a pid that was taken here.
    var hasOtherPid = false
    /// Where its restorer says what became of it; nil once all is said.
    var status: StatusChannel?
    var slot = -1
    /// The restorer has said that it is about to enter the program.
    var isPlaced = false
    /// The restorer has said why it could not.
    var hasFailed = false
    /// What has stopped it; 0: it goes on.
    var stopSignal: Int32 = 0
    /// Of the last stop or continue that its ghost has sent.
    var sequence: UInt32 = 0
    var input: InputStream?
    /// stdout and stderr, while they are open.
    var outputs: [OutputStream?]
    var pid: Int32 { child.identifier }
    var pidfd: Int32 { child.descriptor.number }

    /// It is a rank of another launch from now on.
    func become(_ rank: UInt32, ofLaunch launch: UInt64) {
        self.launch = launch
        self.rank = rank
    }

    /// How it ended, once it has; told after its last output.
    var exit: ChildExit?

    init(
        launch: UInt64, rank: RelaySubtree.Rank, shownRank: UInt32, waiting: Waiting,
        child: consuming ChildProcess, status: StatusChannel, streams: RankStreams
    ) {
        self.launch = launch
        self.rank = rank.rank
        self.shownRank = shownRank
        self.waiting = waiting
        self.child = child
        self.status = status
        input = streams.input
        outputs = streams.outputs
    }
}

/// For how long a process that is placed waits before it becomes the program.
enum Waiting {
    case none
    /// Until its launch is done, for a limited time.
    case forTheCrowd
    /// Until its launch is done: what it gets last must not come before that.
    case forAll

    init(_ order: LaunchOrder) {
        self =
            order.flags.contains(.hold)
            ? .forAll : order.flags.contains(.crowded) ? .forTheCrowd : .none
    }
}

/// When a process has had its time: for its descriptors, or to wait for others.
struct Overdue {
    /// The tag of its status channel.
    let status: OperationTag
    let nanoseconds: UInt64
}

/// Our end of the pipe on which one restorer reports. Each has its own: what comes through it can
/// only be about that process, whatever the image's code writes. A process that is held when it is
/// placed has a socket instead, on which it is told to go on.
final class StatusChannel {
    let descriptor: OwnedDescriptor

    init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }
}

/// Our ends of one rank's standard streams.
struct RankStreams {
    var input: InputStream?
    var outputs: [OutputStream?] = [nil, nil]
}

/// One output stream of a rank on its way to the front end: read only as far as there is credit.
final class OutputStream {
    let descriptor: OwnedDescriptor
    /// Bytes that may be sent before the front end has consumed some.
    var creditByteCount = OutputStream.windowByteCount
    var isPolling = false
    /// Nobody wants it any more: it is read all the same, so that its program goes on.
    var isDropped = false

    static let windowByteCount = 64 << 10
    static let frameByteCount = 32 << 10

    init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }
}

/// The input stream of a rank: bytes from the front end that its pipe has not taken yet. The front
/// end sends no more than its credit, so this stays small.
final class InputStream {
    let descriptor: OwnedDescriptor
    var pending: [UInt8] = []
    var isAtEnd = false
    var isPolling = false

    static let pendingLimit = 1 << 20

    init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }
}
