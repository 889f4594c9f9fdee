import Glibc
import System

/// Calls about files, each with the error that it ended with, and descriptors with one owner.
enum FileCall {
    struct Status {
        var kind: UInt32
        var mode: UInt32
        var time: FileTime
        var byteCount: UInt64
        var device: UInt64
        var number: UInt64

        var isDirectory: Bool { kind == S_IFDIR }
        var isRegular: Bool { kind == S_IFREG }

        init(_ raw: stat) {
            kind = raw.st_mode & S_IFMT
            mode = raw.st_mode & 0o7777
            time = FileTime(
                seconds: Int64(raw.st_mtim.tv_sec), nanoseconds: UInt32(raw.st_mtim.tv_nsec))
            byteCount = UInt64(max(0, raw.st_size))
            device = UInt64(raw.st_dev)
            number = UInt64(raw.st_ino)
        }
    }

    /// Runs a call until no signal interrupts it.
    static func retrying<Result: SignedInteger>(
        _ what: @autoclosure () -> String, _ call: () -> Result
    ) throws(SystemCallError) -> Result {
        while true {
            let result = call()
            if result >= 0 { return result }
            let number = errno
            if number != EINTR { throw SystemCallError(what(), errorNumber: number) }
        }
    }

    static func open(
        _ name: [UInt8], in directory: Int32 = AT_FDCWD, flags: Int32, mode: UInt32 = 0,
        what: @autoclosure () -> String
    ) throws(SystemCallError) -> OwnedDescriptor {
        let path = name + [0]
        let number = try retrying(what()) {
            unsafe path.withUnsafeBytes { path in
                unsafe openat(
                    directory, path.baseAddress!.assumingMemoryBound(to: CChar.self),
                    flags | O_CLOEXEC, mode)
            }
        }
        return OwnedDescriptor(adopting: number)
    }

    static func status(
        of descriptor: Int32, what: @autoclosure () -> String
    ) throws(SystemCallError) -> Status {
        var raw = stat()
        _ = try retrying(what()) { unsafe fstat(descriptor, &raw) }
        return Status(raw)
    }

    /// - Parameter followsLinks: false: a symbolic link is what it is.
    static func status(
        of name: [UInt8], in directory: Int32 = AT_FDCWD, followsLinks: Bool,
        what: @autoclosure () -> String
    ) throws(SystemCallError) -> Status {
        var raw = stat()
        let path = name + [0]
        _ = try retrying(what()) {
            unsafe path.withUnsafeBytes { path in
                unsafe fstatat(
                    directory, path.baseAddress!.assumingMemoryBound(to: CChar.self), &raw,
                    followsLinks ? 0 : AT_SYMLINK_NOFOLLOW)
            }
        }
        return Status(raw)
    }

    /// Calls with a name in a directory that answer nothing.
    static func named(
        _ name: [UInt8], what: @autoclosure () -> String,
        _ call: (UnsafePointer<CChar>) -> Int32
    ) throws(SystemCallError) {
        let path = name + [0]
        _ = try retrying(what()) {
            unsafe path.withUnsafeBytes { path in
                unsafe call(path.baseAddress!.assumingMemoryBound(to: CChar.self))
            }
        }
    }

    /// Reads at a place until the space is full or the file ends.
    /// - Returns: how many bytes.
    static func read(
        _ descriptor: Int32, into space: inout [UInt8], at offset: UInt64,
        what: @autoclosure () -> String
    ) throws(SystemCallError) -> Int {
        var filled = 0
        while filled < space.count {
            let count = try retrying(what()) {
                unsafe space.withUnsafeMutableBytes { space in
                    unsafe pread(
                        descriptor, space.baseAddress! + filled, space.count - filled,
                        off_t(offset) + off_t(filled))
                }
            }
            if count == 0 { break }
            filled += count
        }
        return filled
    }

    static func write(
        _ descriptor: Int32, _ bytes: [UInt8], at offset: UInt64, what: @autoclosure () -> String
    ) throws(SystemCallError) {
        var done = 0
        while done < bytes.count {
            done += try retrying(what()) {
                unsafe bytes.withUnsafeBytes { bytes in
                    unsafe pwrite(
                        descriptor, bytes.baseAddress! + done, bytes.count - done,
                        off_t(offset) + off_t(done))
                }
            }
        }
    }

    static func setTime(
        of descriptor: Int32, to time: FileTime, what: @autoclosure () -> String
    ) throws(SystemCallError) {
        let moment = timespec(tv_sec: Int(time.seconds), tv_nsec: Int(time.nanoseconds))
        let moments = [moment, moment]
        _ = try retrying(what()) {
            unsafe moments.withUnsafeBufferPointer { unsafe futimens(descriptor, $0.baseAddress!) }
        }
    }
}
