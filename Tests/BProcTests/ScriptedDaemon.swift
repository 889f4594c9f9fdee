import CLocalProtocol
import ClientTestSupport
import Foundation

/// A daemon that answers each connection by a script: the other end of the library's socket.
final class ScriptedDaemon: @unchecked Sendable {
    typealias Script = @Sendable (borrowing Connection) throws -> Void

    let directory: String
    private let listener: Int32

    /// Listens where BPROC_SOCKET then points to; every connection runs the script in its own
    /// thread.
    init(_ script: @escaping Script) throws {
        directory = try temporaryDirectory()
        let path = "\(directory)/socket"
        let listener = socket(
            AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard bound == 0, listen(listener, 16) == 0 else { throw POSIXError(.EIO) }
        setenv("BPROC_SOCKET", path, 1)
        self.listener = listener
        Thread.detachNewThread {
            while true {
                let descriptor = accept(listener, nil, nil)
                if descriptor < 0 { return }
                // Inherited by no program that the library starts meanwhile.
                _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
                Thread.detachNewThread {
                    let connection = Connection(descriptor)
                    try? script(connection)
                }
            }
        }
    }

    deinit {
        shutdown(listener, Int32(SHUT_RDWR))
        close(listener)
        try? FileManager.default.removeItem(atPath: directory)
    }
}

func temporaryDirectory() throws -> String {
    var template = Array("/tmp/bproc-test-XXXXXX".utf8CString)
    guard let path = mkdtemp(&template) else { throw POSIXError(.EIO) }
    return String(cString: path)
}

/// The daemon's side of one connection.
struct Connection: ~Copyable {
    struct Message {
        var kind: UInt32
        var body: [UInt8]
        var descriptor: Int32
    }

    let socket: Int32

    init(_ socket: Int32) { self.socket = socket }

    deinit { close(socket) }

    /// The next message; throws at the end of the connection.
    func receive() throws -> Message {
        let (header, descriptor) = try bytes(MemoryLayout<bproc_local_header>.size)
        let fields = header.withUnsafeBytes { $0.loadUnaligned(as: bproc_local_header.self) }
        let (body, late) = try bytes(Int(fields.body_bytes))
        return Message(
            kind: UInt32(fields.kind), body: body, descriptor: max(descriptor, late))
    }

    /// The next message about the ranks themselves: when the server of the ghosts says that it is
    /// there, and the caller that it has its pids, is not this script's matter.
    func receiveOfRanks() throws -> Message {
        let others = [BPROC_LOCAL_GHOSTS_SERVED.rawValue, BPROC_LOCAL_KEEP.rawValue]
        var message = try receive()
        while others.contains(message.kind) { message = try receive() }
        return message
    }

    private func bytes(_ count: Int) throws -> ([UInt8], Int32) {
        var bytes = [UInt8](repeating: 0, count: count)
        var filled = 0
        var descriptor: Int32 = -1
        while filled < count {
            var received: Int32 = -1
            let result = bytes.withUnsafeMutableBytes {
                test_receive(socket, $0.baseAddress! + filled, count - filled, &received)
            }
            guard result > 0 else { throw POSIXError(.ECONNRESET) }
            if received >= 0 { descriptor = received }
            filled += result
        }
        return (bytes, descriptor)
    }

    /// Sends a message, in pieces of `pieceByteCount`.
    func send(
        _ kind: bproc_local_kind, _ body: [UInt8] = [], descriptor: Int32 = -1,
        pieceByteCount: Int = .max
    ) throws {
        var header = bproc_local_header()
        header.magic = BPROC_LOCAL_MAGIC
        header.version = UInt16(BPROC_LOCAL_VERSION)
        header.kind = UInt16(kind.rawValue)
        header.body_bytes = UInt32(body.count)
        try send(raw: raw(header) + body, descriptor: descriptor, pieceByteCount: pieceByteCount)
    }

    func send(raw bytes: [UInt8], descriptor: Int32 = -1, pieceByteCount: Int = .max) throws {
        var offset = 0
        while offset < bytes.count {
            let result = bytes.withUnsafeBytes {
                test_send(
                    socket, $0.baseAddress! + offset, min(bytes.count - offset, pieceByteCount),
                    offset == 0 ? descriptor : -1)
            }
            guard result > 0 else { throw POSIXError(.EPIPE) }
            offset += result
        }
    }

    /// Answers the hello that every connection starts with.
    func welcome(nodeCount: UInt32 = 4) throws {
        let hello = try receive()
        guard hello.kind == BPROC_LOCAL_HELLO.rawValue else { throw POSIXError(.EPROTO) }
        var welcome = bproc_local_welcome()
        welcome.protocol_version = BPROC_LOCAL_VERSION
        welcome.architecture = 4
        welcome.node = -1
        welcome.node_count = nodeCount
        try send(BPROC_LOCAL_WELCOME, raw(welcome))
    }

    /// Waits until the library has closed its end.
    func waitForEnd() { while (try? receive()) != nil {} }
}

/// The bytes of a C struct.
func raw<Value>(_ value: Value) -> [UInt8] { withUnsafeBytes(of: value) { Array($0) } }

/// A struct at the start of some bytes.
func read<Value>(_ type: Value.Type, from bytes: [UInt8]) -> Value {
    precondition(bytes.count >= MemoryLayout<Value>.size)
    return bytes.withUnsafeBytes { $0.loadUnaligned(as: type) }
}

/// Text into a fixed field of a C struct.
func fill<Field>(_ field: inout Field, _ text: String) {
    withUnsafeMutableBytes(of: &field) { $0.copyBytes(from: Array(text.utf8)) }
}

/// What the open descriptors lead to, as far as the library could have opened it: sockets, pipes,
/// files in memory and in /tmp. The tests' own runtime opens and closes other things at any time.
func openDescriptors() -> Set<String> {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")) ?? []
    let targets = names.compactMap {
        try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\($0)")
    }
    return Set(
        targets.filter { target in
            ["socket:", "pipe:", "/memfd:", "/tmp/"].contains { target.hasPrefix($0) }
        })
}

enum Toolchain {
    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().path
    static let includes = [
        "-I", "\(root)/Sources/CBProc/include", "-I", "\(root)/Sources/CLocalProtocol/include",
        "-I", "\(root)/Sources/CImageFormat/include",
    ]

    /// Runs a compiler; answers its messages, empty if it succeeded.
    static func compile(_ compiler: String, _ arguments: [String]) throws -> String {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [compiler] + arguments
        let pipe = Pipe()
        process.standardError = pipe
        process.standardOutput = pipe
        try process.run()
        let text = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return process.terminationStatus == 0 ? "" : text + "status \(process.terminationStatus)"
    }

    static let hasCompilers =
        access("/usr/bin/cc", X_OK) == 0 && access("/usr/bin/c++", X_OK) == 0
}
