import CSystem

/// A child of this process, held by a pidfd: a signal never reaches another process that was given
/// the same number later.
public struct ChildProcess: ~Copyable {
    public let identifier: Int32
    /// Readable when the child has ended.
    public let descriptor: OwnedDescriptor

    public init(identifier: Int32, descriptor: consuming OwnedDescriptor) {
        self.identifier = identifier
        self.descriptor = descriptor
    }

    public borrowing func send(signal: Int32) throws(SystemCallError) {
        try check("signal child \(identifier)", bp_child_signal(descriptor.number, signal))
    }

    /// Waits until the child has ended and reaps it. Answers its status as waitpid reports it.
    public consuming func wait() throws(SystemCallError) -> Int32 {
        var status: Int32 = 0
        let result = unsafe bp_child_wait(descriptor.number, &status)
        try check("wait for child \(identifier)", result)
        return status
    }
}
