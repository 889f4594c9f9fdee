import CGhosts
import CLocalProtocol
import CSystem
import Glibc
import LocalProtocol
import System
import Wire

/// What a rank's process brings along that goes on in its ghost: the image, fetched from the slave
/// that has received it, and what a slave sets for a process besides.
final class Homecoming {
    /// The rank, as its job knows it, and its ghost.
    let ghost: Int
    private let slave: OwnedDescriptor
    private let image: OwnedDescriptor
    /// Closes when the ghost has executed the image.
    private let word: OwnedDescriptor
    private var writing: OwnedDescriptor?
    private let writingNumber: Int32
    private(set) var isUnderWay = false
    private let settings: bproc_local_collected
    private let limits: [(soft: UInt64, hard: UInt64)]
    private let directory: [CChar]
    /// Of the daemon that the process is to speak to.
    private let daemon: [CChar]

    /// How long the slave may take to answer.
    private static let answerSeconds = 2
    private static let limitCount = 16

    /// Asks the slave for the image.
    init(
        _ arrival: RankArrival, ghost: Int
    ) throws(SystemCallError) {
        let number = unsafe arrival.slave.withUnsafeBufferPointer {
            unsafe bp_unix_connect($0.baseAddress!)
        }
        let socket = OwnedDescriptor(adopting: Int32(try check("reach the slave", number)))
        try Self.ask(socket.number, launch: arrival.launch)
        let answer = try Self.answer(socket.number)
        let pipe = try Pipe(nonblockingRead: true).split()
        self.ghost = ghost
        self.slave = socket
        image = OwnedDescriptor(adopting: answer.image)
        word = OwnedDescriptor(adopting: pipe.reading)
        writing = OwnedDescriptor(adopting: pipe.writing)
        writingNumber = pipe.writing
        (settings, limits, directory) = (answer.settings, answer.limits, answer.directory)
        daemon = arrival.daemon
    }

    var wordNumber: Int32 { word.number }

    /// Sets for the ghost what another process can set.
    func setUp(_ pid: Int32) {
        for (number, limit) in limits.enumerated() {
            bp_ghost_limit(pid, UInt32(number), limit.soft, limit.hard)
        }
        bp_ghost_be_nice(pid, settings.nice)
    }

    /// Has the ghost take what it needs.
    func bring(_ memory: GhostMemory) throws(SystemCallError) {
        try memory.bring(
            ghost, image: image.number, word: writingNumber, umask: settings.umask,
            socket: daemon, directory: directory)
    }

    /// The ghost has them: what becomes of the pipe is its affair alone.
    func letGo() {
        writing = nil
        isUnderWay = true
    }

    /// What the ghost has said; nil: nothing yet.
    func result() -> Int32? {
        var errorNumber: Int32 = 0
        let count = unsafe bp_read(word.number, &errorNumber, MemoryLayout<Int32>.size)
        if count == -11 || count == -4 { return nil }
        return count == MemoryLayout<Int32>.size ? max(errorNumber, 1) : 0
    }

    /// Asks the slave whether the ghost may go; an errno, or 0.
    func leave() -> Int32 { say(BPROC_LOCAL_LEAVES) }

    /// Tells the slave that the process is here (0), or why it could not come.
    /// - Returns: whether the slave knows.
    func tell(errorNumber: Int32) -> Bool {
        say(
            BPROC_LOCAL_ARRIVED,
            LocalMessage.bytes(of: bproc_local_arrived(error: errorNumber))) == 0
    }

    private func say(_ kind: bproc_local_kind, _ body: [UInt8] = []) -> Int32 {
        let bytes = LocalMessage.bytes(kind, body: body)
        do throws(SystemCallError) {
            try check(
                "tell the slave",
                unsafe bytes.withUnsafeBytes {
                    unsafe bp_capture_send(slave.number, $0.baseAddress!, $0.count, -1)
                })
            var descriptor: Int32 = -1
            let header = try Self.header(slave.number, &descriptor)
            if descriptor >= 0 { _ = bp_close(descriptor) }
            let answer = try Self.receive(slave.number, byteCount: Int(header.body_bytes))
            if header.kind == UInt16(BPROC_LOCAL_NODE_DONE.rawValue) { return 0 }
            return LocalMessage.load(bproc_local_refused.self, from: answer)?.error ?? EPROTO
        } catch {
            return error.errorNumber
        }
    }

    // MARK: The slave

    private static func ask(_ socket: Int32, launch: UInt64) throws(SystemCallError) {
        var patience = timeval(tv_sec: answerSeconds, tv_usec: 0)
        _ = unsafe setsockopt(
            socket, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        var hello = bproc_local_hello()
        hello.protocol_version = UInt32(BPROC_LOCAL_VERSION)
        hello.architecture = Hello.architectureX8664
        let bytes =
            LocalMessage.bytes(BPROC_LOCAL_HELLO, body: LocalMessage.bytes(of: hello))
            + LocalMessage.bytes(
                BPROC_LOCAL_COLLECT,
                body: LocalMessage.bytes(of: bproc_local_collect(launch: launch)))
        try check(
            "ask the slave",
            unsafe bytes.withUnsafeBytes {
                unsafe bp_capture_send(socket, $0.baseAddress!, $0.count, -1)
            })
    }

    private static func receive(_ socket: Int32, byteCount: Int) throws(SystemCallError)
        -> [UInt8]
    {
        var bytes = [UInt8](repeating: 0, count: byteCount)
        guard byteCount > 0 else { return bytes }
        try check(
            "hear the slave",
            unsafe bytes.withUnsafeMutableBytes {
                unsafe bp_capture_receive(socket, $0.baseAddress!, byteCount)
            })
        return bytes
    }

    private static func header(
        _ socket: Int32, _ descriptor: inout Int32
    ) throws(SystemCallError) -> bproc_local_header {
        let size = MemoryLayout<bproc_local_header>.size
        var header = bproc_local_header()
        let count = unsafe bp_capture_receive_first(socket, &header, size, &descriptor)
        try check("hear the slave", count)
        guard count == size, header.magic == UInt32(BPROC_LOCAL_MAGIC),
            header.version == UInt16(BPROC_LOCAL_VERSION), header.body_bytes <= 1 << 16
        else {
            if descriptor >= 0 { _ = bp_close(descriptor) }
            throw SystemCallError("understand the slave", errorNumber: EPROTO)
        }
        return header
    }

    private static func answer(_ socket: Int32) throws(SystemCallError) -> (
        image: Int32, settings: bproc_local_collected, limits: [(soft: UInt64, hard: UInt64)],
        directory: [CChar]
    ) {
        while true {
            var descriptor: Int32 = -1
            let header = try header(socket, &descriptor)
            let attached = descriptor >= 0 ? OwnedDescriptor(adopting: descriptor) : nil
            let body = try receive(socket, byteCount: Int(header.body_bytes))
            switch bproc_local_kind(rawValue: UInt32(header.kind)) {
            case BPROC_LOCAL_WELCOME: continue
            case BPROC_LOCAL_COLLECTED: break
            case BPROC_LOCAL_REFUSED:
                let refused = LocalMessage.load(bproc_local_refused.self, from: body)
                throw SystemCallError("fetch the image", errorNumber: refused?.error ?? EPROTO)
            default: throw SystemCallError("understand the slave", errorNumber: EPROTO)
            }
            let size = MemoryLayout<bproc_local_collected>.size
            guard let image = attached,
                let settings = LocalMessage.load(bproc_local_collected.self, from: body),
                settings.limit_count <= UInt32(limitCount),
                body.count
                    == size + Int(settings.limit_count) * 16 + Int(settings.directory_bytes)
            else { throw SystemCallError("understand the slave", errorNumber: EPROTO) }
            let limits = (0..<Int(settings.limit_count)).map { index in
                let place = size + index * 16
                return (
                    soft: LocalMessage.load(UInt64.self, from: body, at: place)!,
                    hard: LocalMessage.load(UInt64.self, from: body, at: place + 8)!
                )
            }
            let directory = body.suffix(Int(settings.directory_bytes)).map {
                CChar(bitPattern: $0)
            }
            return (image.release(), settings, limits, directory + [0])
        }
    }
}
