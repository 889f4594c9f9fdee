import CGhosts
import System

/// The memory that a server, a holder and their ghosts share. It was mapped before the first of
/// them and is never unmapped, so the pointer is always valid.
@safe
struct GhostMemory {
    private let group: OpaquePointer

    /// The process numbers of the ghosts.
    let pids: [Int32]

    init(group: OpaquePointer, count: Int) {
        unsafe self.group = group
        pids = (0..<UInt32(count)).map { unsafe bp_ghost_pid(group, $0) }
    }

    /// Whether a ghost has ended before it could be traced.
    func hasEnded(_ ghost: Int) -> Bool { unsafe bp_ghost_has_ended(group, UInt32(ghost)) != 0 }

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

    /// Has a ghost take what it needs to become its process again.
    func bring(
        _ ghost: Int, image: Int32, word: Int32, umask: UInt32, socket: [CChar],
        directory: [CChar]
    ) throws(SystemCallError) {
        let result = unsafe socket.withUnsafeBufferPointer { socket in
            unsafe directory.withUnsafeBufferPointer { directory in
                var plan = unsafe bp_ghost_home(
                    image: image, word: word, umask: umask, socket: socket.baseAddress!,
                    directory: directory.baseAddress!)
                return unsafe bp_ghost_bring(group, UInt32(ghost), &plan)
            }
        }
        try check("have a ghost come", result)
    }

    /// What came of it: an errno, or 0.
    var bringingError: Int32 { Int32(-min(unsafe bp_ghost_home_state(group), 0)) }

    func stay(_ ghost: Int) { unsafe bp_ghost_stay(group, UInt32(ghost)) }

    /// Lets a ghost go that has come for that.
    func letGo(_ ghost: Int) { _ = unsafe bp_ghost_let_go(group, UInt32(ghost)) }

    /// Ends the ghosts that are marked, without a trace in their parent.
    func drop(_ isDropped: [UInt8]) {
        unsafe isDropped.withUnsafeBufferPointer {
            unsafe bp_ghost_drop(group, $0.baseAddress!)
        }
    }
}
