import CGhosts
import System

/// The memory that a server, a holder and their ghosts share. It was mapped before the first of
/// them and is never unmapped, so the pointer is always valid.
@safe
struct GhostMemory {
    private let group: OpaquePointer

    init(group: OpaquePointer) { unsafe self.group = group }

    /// Waits until the ghosts are made. Answers their pids, and why there are not more (0: none is
    /// missing).
    func awaitGhosts() -> (pids: [Int32], errorNumber: Int32) {
        var errorNumber: Int32 = 0
        let count = unsafe bp_ghost_await(group, &errorNumber)
        return ((0..<count).map { unsafe bp_ghost_pid(group, $0) }, errorNumber)
    }

    /// The memory that the one ghost shares which is the caller itself.
    func shareOwn() throws(SystemCallError) -> OwnedDescriptor {
        let file = unsafe Int(bp_ghost_share_own(group))
        return OwnedDescriptor(adopting: Int32(try check("share memory with a ghost", file)))
    }

    /// Traces a ghost and lets it take signals. False: it has ended already.
    func seize(_ ghost: Int) throws(SystemCallError) -> Bool {
        let result = unsafe bp_ghost_seize(group, UInt32(ghost))
        if result == -3 { return false }
        try check("trace a ghost", result)
        return true
    }

    func end(_ ghost: Int, status: Int32, isStopped: Bool) {
        unsafe bp_ghost_end(group, UInt32(ghost), status, isStopped ? 1 : 0)
    }

    /// Ends the ghosts that are marked, without a trace in their parent.
    func drop(_ isDropped: [UInt8]) {
        unsafe isDropped.withUnsafeBufferPointer {
            unsafe bp_ghost_drop(group, $0.baseAddress!)
        }
    }
}
