import CGhosts
import CLocalProtocol
import CSystem
import LocalProtocol
import System

/// The role `--helper=ghosts --socket=N` of the daemon's binary: makes the ghosts of one call for
/// the library, in the caller's own context, and serves them until the last has ended.
public enum GhostHelper {
    /// As many as a launch has ranks.
    static let countLimit = 1 << 20

    /// Reads one BPROC_LOCAL_GHOSTS message and makes the ghosts. Two processes come out of this:
    /// the holder, which never returns from it, and the server, which answers its exit status.
    public static func run(socket: Int32) -> Int32 {
        _ = bp_capture_close_on_exec(socket)
        guard let request = request(from: socket) else { return 1 }
        let name = unsafe withUnsafeBytes(of: request.name) { unsafe Array($0.prefix(15)) + [0] }
        // Everything that is mapped here is the group's to the end of all its processes.
        guard
            let group = unsafe name.withUnsafeBytes({
                unsafe bp_ghost_map(
                    request.count, $0.baseAddress!.assumingMemoryBound(to: CChar.self))
            })
        else { return fail(socket: socket, errorNumber: 12) }
        if isOwn(request) {
            // Who asks is the ghost.
            var credentials = bp_credentials()
            guard unsafe bp_peer_credentials(socket, &credentials) >= 0 else { return 1 }
            unsafe bp_ghost_be_own(group, credentials.pid)
        }
        let split = unsafe bp_ghost_split(group)
        guard split == 0 else { return fail(socket: socket, errorNumber: Int32(-split)) }
        return serve(
            unsafe GhostMemory(group: group), isOwn: isOwn(request), socket: socket)
    }

    private static func isOwn(_ request: bproc_local_ghosts) -> Bool {
        request.count == 1 && request.flags & UInt32(BPROC_LOCAL_GHOSTS_SELF) != 0
    }

    private static func request(from socket: Int32) -> bproc_local_ghosts? {
        var header = bproc_local_header()
        var body = bproc_local_ghosts()
        let headerSize = MemoryLayout<bproc_local_header>.size
        let size = MemoryLayout<bproc_local_ghosts>.size
        guard unsafe bp_capture_receive(socket, &header, headerSize) == headerSize,
            header.magic == BPROC_LOCAL_MAGIC, header.version == UInt16(BPROC_LOCAL_VERSION),
            UInt32(header.kind) == BPROC_LOCAL_GHOSTS.rawValue, Int(header.body_bytes) == size,
            unsafe bp_capture_receive(socket, &body, size) == size,
            body.count > 0, body.count <= UInt32(countLimit)
        else { return nil }
        return body
    }

    private static func serve(_ memory: GhostMemory, isOwn: Bool, socket: Int32) -> Int32 {
        let kept = bp_ghost_settle(socket)
        guard kept >= 0 else { return 1 }
        let descriptor = OwnedDescriptor(adopting: kept)
        let (pids, errorNumber) = memory.awaitGhosts()
        do throws(SystemCallError) {
            let caller = try GhostServer.caller(of: kept)
            let news = OwnedDescriptor(
                adopting: Int32(try check("wait for ghosts", bp_ghost_news_descriptor())))
            var server = GhostServer(
                memory: memory, pids: pids, isOwn: isOwn, library: descriptor, caller: caller,
                news: news)
            try server.begin(errorNumber: errorNumber)
            try server.serve()
            return 0
        } catch {
            return fail(socket: kept, errorNumber: error.errorNumber)
        }
    }

    private static func fail(socket: Int32, errorNumber: Int32) -> Int32 {
        let answer = LocalMessage.bytes(
            BPROC_LOCAL_GHOSTS_MADE,
            body: LocalMessage.bytes(
                of: bproc_local_ghosts_made(error: errorNumber, made_count: 0)))
        _ = unsafe answer.withUnsafeBytes {
            unsafe bp_capture_send(socket, $0.baseAddress!, $0.count, -1)
        }
        return 1
    }
}
