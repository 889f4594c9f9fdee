import CSystem

/// A system call that failed: what was tried, and the kernel's answer.
public struct SystemCallError: Error, Equatable, CustomStringConvertible {
    /// The call or step, as a person would name it: "open", "bind 127.0.0.1:2223".
    public let operation: String
    /// The error number, always positive.
    public let errorNumber: Int32

    public init(_ operation: String, errorNumber: Int32) {
        self.operation = operation
        self.errorNumber = errorNumber
    }

    /// The error of a shim that answers a negated errno.
    public init(_ operation: String, result: Int) {
        self.init(operation, errorNumber: Int32(truncatingIfNeeded: -result))
    }

    public var description: String { "\(operation): \(Self.message(for: errorNumber))" }

    /// The C library's sentence for an error number.
    public static func message(for errorNumber: Int32) -> String {
        guard let text = unsafe bp_strerror(errorNumber) else { return "error \(errorNumber)" }
        return unsafe String(cString: text)
    }
}

/// Turns the answer of a shim (a result, or a negated errno) into a value or a typed error.
@inlinable
@discardableResult
public func check(_ operation: @autoclosure () -> String, _ result: Int) throws(SystemCallError)
    -> Int
{
    guard result >= 0 else { throw SystemCallError(operation(), result: result) }
    return result
}
