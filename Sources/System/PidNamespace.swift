import CSystem

/// A pid namespace in which a daemon gives its children the pids that they shall have. It ends with
/// the daemon, and everything in it with it.
public final class PidNamespace {
    /// Its first process: orphans become its children. Readable when the namespace has ended.
    public let initialProcess: OwnedDescriptor
    /// Its pid where the daemon is.
    public let initialPid: Int32
    private let ownProcess: OwnedDescriptor
    /// A procfs of its own; nil: the kernel does not give one.
    public let processes: OwnedDescriptor?

    /// - Parameter restorer: what the first process executes (`Restorer.makeFile`).
    /// - Parameter firstPid: Processes that ask for no pid get them from here on: far from those
    ///   that are asked for.
    public init(
        restorer: borrowing OwnedDescriptor, firstPid: Int32
    ) throws(SystemCallError) {
        var raw = bp_pid_namespace()
        let result = unsafe bp_start_pid_namespace(restorer.number, firstPid, &raw)
        initialPid = Int32(try check("make a pid namespace", result))
        initialProcess = OwnedDescriptor(adopting: raw.initial_process)
        ownProcess = OwnedDescriptor(adopting: raw.own_process)
        processes = raw.processes >= 0 ? OwnedDescriptor(adopting: raw.processes) : nil
    }

    /// What a child is made in the namespace with, by number: this value keeps them open.
    public struct Entrance: Sendable {
        /// pidfds of the first process and of this one.
        public let initialProcess: Int32
        public let ownProcess: Int32
    }

    public var entrance: Entrance {
        Entrance(initialProcess: initialProcess.number, ownProcess: ownProcess.number)
    }

    /// Ends every process in it.
    public func end() { _ = bp_child_signal(initialProcess.number, 9) }
}
