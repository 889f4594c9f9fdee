import CSystem
import CommandSupport
import Glibc
import System

/// The files of one local cluster. Nothing else is ever written or removed.
struct ClusterDirectory {
    let path: String

    var socket: String { "\(path)/socket" }
    var masterLog: String { "\(path)/bpmaster.log" }
    /// One line for each daemon: name, pid, start time.
    private var record: String { "\(path)/daemons" }
    private var launchMark: String { "\(path)/launched" }

    /// The slave beside the master.
    static let frontEndName = "front-end"
    var frontEndLog: String { "\(path)/bpslave-\(Self.frontEndName).log" }

    func slaveLog(_ node: Int) -> String { "\(path)/bpslave-\(node).log" }

    struct Daemon {
        /// "master", "front-end", or the node's number.
        var name: String
        var identity: ProcessIdentity
    }

    /// Makes the directory, for its owner only. One that exists must be private and without a
    /// cluster.
    func create() throws(CommandError) {
        guard socket.utf8.count < 108 else {
            throw CommandError("\(path): too long a name for a directory with a socket")
        }
        if unsafe mkdir(path, 0o700) < 0 {
            guard errno == EEXIST else { throw failure("directory") }
            var owner: UInt32 = 0
            var mode: UInt32 = 0
            guard unsafe bp_command_owner_and_mode(path, &owner, &mode) == 0,
                owner == getuid(), mode == UInt32(S_IFDIR) | 0o700
            else {
                throw CommandError("\(path): not a directory of this user with mode 0700")
            }
            if exists {
                throw CommandError(
                    "\(path): a cluster is recorded here; stop it with bpcluster down --dir \(path)"
                )
            }
        }
        try write(record, "", flags: O_CREAT | O_EXCL)
    }

    var exists: Bool { unsafe access(record, F_OK) == 0 }

    /// Written as each daemon starts, so that an interrupted start can be undone later.
    func add(_ daemons: [Daemon]) throws(CommandError) {
        let lines = daemons.map { "\($0.name) \($0.identity.pid) \($0.identity.startTicks)\n" }
        try write(record, lines.joined(), flags: O_APPEND)
    }

    func daemons() throws(CommandError) -> [Daemon] {
        guard let text = TextFile.read(record, byteLimit: 64 << 20) else {
            throw CommandError("\(path): no cluster is recorded here")
        }
        return text.split(separator: "\n").compactMap { line in
            let fields = line.split(separator: " ")
            guard fields.count == 3, let pid = Int32(fields[1]), pid > 1,
                let ticks = UInt64(fields[2])
            else { return nil }
            return Daemon(
                name: String(fields[0]), identity: ProcessIdentity(pid: pid, startTicks: ticks))
        }
    }

    /// Whether something has been launched before; the first launch finds the arenas cold.
    var hasLaunched: Bool { unsafe access(launchMark, F_OK) == 0 }
    func markLaunched() throws(CommandError) { try write(launchMark, "", flags: O_CREAT) }

    func openLog(_ path: String) throws(CommandError) -> OwnedDescriptor {
        let descriptor = unsafe open(
            path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw failure("log") }
        return OwnedDescriptor(adopting: descriptor)
    }

    /// The last line of a log that is not empty.
    func lastLine(of log: String) -> String? {
        TextFile.read(log)?.split(separator: "\n").last.map(String.init)
    }

    /// Removes what belongs to a cluster, and the directory if nothing else is in it.
    func remove() {
        for name in Directory.entries(of: path) {
            let isOurs =
                name == "socket" || name == "daemons" || name == "launched"
                || name == "bpmaster.log" || name == "bpmaster.pid"
                || (name.hasPrefix("bpslave-")
                    && (name.hasSuffix(".log") || name.hasSuffix(".socket")))
            if isOurs { _ = unsafe unlink("\(path)/\(name)") }
        }
        _ = unsafe rmdir(path)
    }

    private func write(_ file: String, _ text: String, flags: Int32) throws(CommandError) {
        let number = unsafe open(file, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | flags, 0o600)
        guard number >= 0 else { throw failure(file) }
        let descriptor = OwnedDescriptor(adopting: number)
        StandardOutput.write(text, to: descriptor.number)
    }

    private func failure(_ what: String) -> CommandError {
        CommandError("\(path): \(what): \(SystemCallError.message(for: errno))")
    }
}
