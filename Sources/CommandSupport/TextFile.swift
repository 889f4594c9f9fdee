import Glibc

/// Small files, read and written whole.
public enum TextFile {
    /// The text, or its first `byteLimit` bytes; nil: it cannot be read.
    public static func read(_ path: String, byteLimit: Int = 1 << 20) -> String? {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { _ = close(descriptor) }
        return read(descriptor: descriptor, byteLimit: byteLimit)
    }

    /// A file for a text that is written later, made or emptied now; nil, with errno: it cannot be.
    public static func create(_ path: String) -> Int32? {
        let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
        return descriptor >= 0 ? descriptor : nil
    }

    /// Writes all of a text.
    /// - Returns: false, with errno, if that did not succeed.
    public static func write(_ text: String, to descriptor: Int32) -> Bool {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = unsafe bytes.withUnsafeBytes { bytes in
                unsafe Glibc.write(descriptor, bytes.baseAddress, bytes.count)
            }
            if count < 0 && errno != EINTR && errno != EAGAIN { return false }
            bytes = bytes.dropFirst(max(0, count))
        }
        return true
    }

    /// The text of standard input up to its end.
    public static func readStandardInput(byteLimit: Int) -> String? {
        read(descriptor: STDIN_FILENO, byteLimit: byteLimit)
    }

    private static func read(descriptor: Int32, byteLimit: Int) -> String? {
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 64 << 10)
        while bytes.count < byteLimit {
            let count = unsafe piece.withUnsafeMutableBytes { piece in
                unsafe Glibc.read(descriptor, piece.baseAddress, piece.count)
            }
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { return nil }
            if count == 0 { break }
            bytes += piece.prefix(min(count, byteLimit - bytes.count))
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
