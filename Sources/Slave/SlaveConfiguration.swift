import CSystem
public import System

/// How one slave runs.
public struct SlaveConfiguration: Sendable {
    /// The number it claims; nil lets the master choose.
    public var node: Int32?
    public var master: SocketAddress
    /// Where its relay port listens.
    public var listenAddress: SocketAddress
    /// Warm image memory, in bytes: an image up to this size needs no page allocation when it
    /// comes.
    public var arenaByteCount: Int
    /// How many images of that size find warm memory at once.
    public var arenaSlotCount = 1
    /// Bytes that all images may take together; 0 leaves it to the kernel.
    public var imageByteLimit = 0
    /// Socket buffers of relay links, in bytes; 0 leaves them to the kernel.
    public var socketBufferByteCount: Int
    /// The directory that becomes "/" for everything the slave starts.
    public var rootDirectory: String?
    /// The local socket that the processes of this node find in BPROC_SOCKET: a path, or "@" and an
    /// abstract name, which is reachable from any root directory.
    public var socketName: String
    /// Run without io_uring even where it works.
    public var forbidsRing: Bool
    /// Say once a minute that peers are not authenticated.
    public var warnsOfInsecurity = false
    /// It may be told to connect to a master on another machine.
    public var mayLeaveLoopback = false
    /// Seconds between attempts to reach a master that is away; nil: give up when it is lost.
    public var reconnectSeconds: Int?
    /// The master may make another directory "/" for everything that is started later.
    public var allowsChangeOfRoot = false
    public var reboot = DeparturePermission.forbidden
    public var halt = DeparturePermission.forbidden
    public var powerOff = DeparturePermission.forbidden
    /// Place where the daemon fails on purpose, for tests of the healing.
    public var fault: FaultPoint?

    public init(master: SocketAddress, listenAddress: SocketAddress) {
        self.master = master
        self.listenAddress = listenAddress
        node = nil
        arenaByteCount = 8 << 20
        socketBufferByteCount = 0
        rootDirectory = nil
        socketName = Self.ownSocketName
        forbidsRing = false
        reconnectSeconds = nil
        fault = nil
    }

    /// An abstract name that no other slave has, neither beside this one nor before it.
    private static var ownSocketName: String {
        "@bproc-slave-\(bp_own_pid())-" + String(Clock.monotonicNanoseconds, radix: 36)
    }
}

/// Whether, and how, the master may end this machine.
public enum DeparturePermission: Equatable, Sendable {
    case forbidden
    /// By reboot(2).
    case systemCall
    /// By a program and its arguments, which take the slave's place.
    case command([String])
}

/// Places where a slave can be told to fail, numbered like a list of accidents: tests cut the tree
/// at an exact chunk with them.
public enum FaultPoint: Equatable, Sendable {
    /// Die by SIGKILL after this chunk was stored and forwarded.
    case dieAfterChunk(UInt32)
    /// Stop (SIGSTOP to itself) after this chunk.
    case stopAfterChunk(UInt32)

    /// Reads "die-after-chunk:3" or "stop-after-chunk:3".
    public init?(_ text: String) {
        let parts = text.split(separator: ":")
        guard parts.count == 2, let chunk = UInt32(parts[1]) else { return nil }
        switch parts[0] {
        case "die-after-chunk": self = .dieAfterChunk(chunk)
        case "stop-after-chunk": self = .stopAfterChunk(chunk)
        default: return nil
        }
    }
}
