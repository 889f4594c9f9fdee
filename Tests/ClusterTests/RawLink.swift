import Glibc

/// A TCP connection that says what no daemon of ours would say.
final class RawLink {
    private let descriptor: Int32

    /// nil: nobody listens there.
    init?(_ address: String, _ port: UInt16) {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | O_CLOEXEC, 0)
        // The other side may never answer; a test must not wait for it for ever.
        var limit = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(
            descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        guard Self.withAddress(address, port, { connect(descriptor, $0, $1) }) == 0 else {
            return nil
        }
    }

    deinit { close(descriptor) }

    @discardableResult
    func send(_ bytes: [UInt8]) -> Bool {
        Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count
    }

    /// Everything that comes until the other side closes; nil: it keeps the connection open.
    func readToEnd() -> [UInt8]? {
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = recv(descriptor, &piece, piece.count, 0)
            if count > 0 {
                bytes.append(contentsOf: piece[..<count])
            } else if count == 0 || errno == ECONNRESET {
                return bytes
            } else if errno != EINTR {
                return nil
            }
        }
    }

    /// The ports of this process's own connection and listener tests: one that nobody has now.
    static func freePort(of address: String) -> UInt16? {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | O_CLOEXEC, 0)
        defer { close(listener) }
        return bind(listener, to: address)
    }

    /// - Returns: the port that the kernel has chosen.
    static func bind(_ listener: Int32, to address: String) -> UInt16? {
        guard withAddress(address, 0, { Glibc.bind(listener, $0, $1) }) == 0 else { return nil }
        var own = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let result = withUnsafeMutablePointer(to: &own) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                getsockname(listener, $0, &length)
            }
        }
        return result == 0 ? UInt16(bigEndian: own.sin_port) : nil
    }

    private static func withAddress(
        _ address: String, _ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) -> Int32 {
        var own = sockaddr_in()
        own.sin_family = sa_family_t(AF_INET)
        own.sin_port = port.bigEndian
        inet_pton(AF_INET, address, &own.sin_addr)
        return withUnsafePointer(to: &own) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }
}

/// A port where somebody listens who is no daemon of ours.
final class RawListener {
    private let descriptor: Int32
    let port: UInt16

    /// nil: there is no port.
    init?(_ address: String) {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | O_CLOEXEC, 0)
        guard let port = RawLink.bind(descriptor, to: address), listen(descriptor, 1) == 0 else {
            return nil
        }
        self.port = port
    }

    deinit { close(descriptor) }

    /// Takes one connection and says this to it; it is closed when the other side has ended.
    func answer(_ bytes: [UInt8]) {
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        guard poll(&entry, 1, 20_000) == 1 else { return }
        let connection = accept(descriptor, nil, nil)
        defer { close(connection) }
        guard send(connection, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count else {
            return
        }
        var piece = [UInt8](repeating: 0, count: 4096)
        while recv(connection, &piece, piece.count, 0) > 0 { continue }
    }
}
