public import System

/// Why no image of a program could be taken.
public enum CaptureError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The command cannot be opened: missing, or not readable by this user.
    case cannotOpen(command: String, errorNumber: Int32)
    case isDirectory(command: String)
    /// Readable, but not to be run by this user.
    case notExecutable(command: String, errorNumber: Int32)
    /// Set-user-id, set-group-id or file capabilities: rights that an image cannot carry.
    case hasSpecialRights(command: String)
    /// exec refused: not a program, out of memory, argument list too long.
    case cannotExecute(command: String, errorNumber: Int32)
    case notX8664(command: String)
    case script(command: String, problem: String)
    /// It ended before its entry point; the dynamic linker has said why on descriptor 2.
    case endedEarly(command: String, status: Int32)
    case killedEarly(command: String, signal: Int32)
    /// A constructor started threads or processes, which an image cannot carry.
    case notSingleThreaded(command: String)
    case writableSharedMemory(address: UInt64)
    case tooLarge(part: String, byteCount: UInt64, limit: UInt64)
    /// Something the kernel refused: what, and with what answer.
    case system(SystemCallError)

    /// The error number that a C caller gets.
    public var errorNumber: Int32 {
        switch self {
        case .cannotOpen(_, let number), .notExecutable(_, let number),
            .cannotExecute(_, let number):
            number
        case .isDirectory: 21  // EISDIR
        case .hasSpecialRights: 1  // EPERM
        case .notX8664, .script: 8  // ENOEXEC
        case .endedEarly, .killedEarly: 10  // ECHILD
        case .notSingleThreaded: 16  // EBUSY
        case .writableSharedMemory: 95  // EOPNOTSUPP
        case .tooLarge: 7  // E2BIG
        case .system(let error): error.errorNumber
        }
    }

    public var description: String {
        switch self {
        case .cannotOpen(let command, let number), .notExecutable(let command, let number):
            "\(command): \(SystemCallError.message(for: number))"
        case .isDirectory(let command): "\(command): is a directory"
        case .hasSpecialRights(let command):
            "\(command): runs with another user's rights (set-id or capabilities), "
                + "which cannot be moved"
        case .cannotExecute(let command, let number):
            "\(command): cannot be executed: \(SystemCallError.message(for: number))"
        case .notX8664(let command): "\(command): not a 64-bit x86 program"
        case .script(let command, let problem): "\(command): \(problem)"
        case .endedEarly(let command, let status):
            "\(command): ended with status \(status) before its entry point"
        case .killedEarly(let command, let signal):
            "\(command): killed by signal \(signal) before its entry point"
        case .notSingleThreaded(let command):
            "\(command): a library made threads or processes before the entry point"
        case .writableSharedMemory(let address):
            "shared writable memory at \(hex(address)) cannot be moved"
        case .tooLarge(let part, let byteCount, let limit):
            "\(part) is \(byteCount) bytes, at most \(limit) can be moved"
        case .system(let error): error.description
        }
    }
}

/// `check` for the capture: the same, as a `CaptureError`.
func require(_ operation: @autoclosure () -> String, _ result: Int) throws(CaptureError) -> Int {
    do {
        return try check(operation(), result)
    } catch {
        throw .system(error)
    }
}
