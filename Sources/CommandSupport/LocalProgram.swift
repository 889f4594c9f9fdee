import CSystem
public import System

/// Programs that a command starts.
public enum LocalProgram {
    /// Starts a program in a session of its own; both outputs go to the descriptor.
    /// - Returns: its pid.
    public static func startDaemon(
        _ path: String, arguments: [String], output: borrowing OwnedDescriptor
    ) throws(SystemCallError) -> Int32 {
        let list = ArgumentList([path] + arguments)
        return Int32(
            try check(path, unsafe bp_command_start_daemon(path, list.pointer, output.number)))
    }

    /// Starts a program that shares this process's terminal and descriptors.
    public static func start(
        _ path: String, arguments: [String], environment: [[UInt8]]
    ) throws(SystemCallError) -> Int32 {
        let list = ArgumentList(arguments)
        let variables = ArgumentList(bytes: environment)
        return Int32(
            try check(path, unsafe bp_command_start(path, list.pointer, variables.pointer)))
    }

    /// A child that has ended, and its status; nil: none.
    /// - Parameter pid: -1 means any.
    public static func reap(_ pid: Int32, waits: Bool) -> (pid: Int32, status: Int32)? {
        var status: Int32 = 0
        let result = unsafe bp_command_reap(pid, waits ? 1 : 0, &status)
        return result > 0 ? (Int32(result), status) : nil
    }
}

/// A NULL-terminated list of C strings. The invariant: every entry but the last is a copy owned
/// here and freed once, in `deinit`.
@safe
struct ArgumentList: ~Copyable {
    private let entries: UnsafeMutableBufferPointer<UnsafeMutablePointer<CChar>?>

    init(_ strings: [String]) { self.init(bytes: strings.map { Array($0.utf8) }) }

    init(bytes strings: [[UInt8]]) {
        unsafe entries = .allocate(capacity: strings.count + 1)
        unsafe entries.initialize(repeating: nil)
        for (index, bytes) in strings.enumerated() {
            let copy = UnsafeMutablePointer<CChar>.allocate(capacity: bytes.count + 1)
            for (offset, byte) in bytes.enumerated() {
                unsafe copy[offset] = CChar(bitPattern: byte)
            }
            unsafe copy[bytes.count] = 0
            unsafe entries[index] = copy
        }
    }

    var pointer: UnsafePointer<UnsafeMutablePointer<CChar>?> {
        unsafe UnsafePointer(entries.baseAddress!)
    }

    deinit {
        for index in unsafe 0..<entries.count { unsafe entries[index]?.deallocate() }
        unsafe entries.deallocate()
    }
}
