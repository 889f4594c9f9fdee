import CGhosts
import CSystem
import System

/// The role `--helper=ghosts --socket=N` of the daemon's binary: makes the ghosts of one call for
/// the library, in the caller's own context, and serves them until the last has ended.
public enum GhostHelper {
    /// Goes on as the server of the ghosts that were made before main (`CGhosts/beginning.c`).
    /// - Returns: its exit status.
    public static func run() -> Int32 {
        guard let begun = unsafe bp_ghost_begun()?.pointee, let group = unsafe begun.group else {
            return 1
        }
        let library = unsafe OwnedDescriptor(adopting: begun.socket)
        do throws(SystemCallError) {
            let caller = try GhostServer.caller(of: library.number)
            let news = OwnedDescriptor(
                adopting: Int32(try check("wait for ghosts", bp_ghost_news_descriptor())))
            var server = unsafe GhostServer(
                memory: GhostMemory(group: group, count: Int(begun.count)),
                isOwn: begun.is_own != 0, library: library, caller: caller, news: news)
            try server.serve()
            return 0
        } catch {
            return 1
        }
    }
}
