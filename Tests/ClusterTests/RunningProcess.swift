import Glibc

/// A process as /proc knows it: the start time tells it from a later one with the same pid.
struct RunningProcess: Hashable {
    let pid: pid_t
    let startTime: UInt64

    /// nil: there is no such process, or only its zombie is left, which runs no code.
    init?(_ pid: pid_t) {
        guard let fields = Self.fields(pid), fields.state != "Z", fields.state != "X" else {
            return nil
        }
        self.pid = pid
        startTime = fields.startTime
    }

    var isRunning: Bool { RunningProcess(pid) == self }
    /// Stopped by a signal.
    var isStopped: Bool { Self.fields(pid)?.state == "T" }

    /// What it has in memory; nil: it has ended.
    var residentKilobytes: Int? {
        let lines = TestFile.text("/proc/\(pid)/status").split(separator: "\n")
        guard let line = lines.first(where: { $0.hasPrefix("VmRSS:") }) else { return nil }
        return Int(line.dropFirst(6).filter(\.isNumber))
    }

    /// The first process of a slave's pid namespace, or, without one, the slave's guardian.
    var isInitial: Bool {
        ["bproc-init\n", "bproc-guard\n"].contains(TestFile.text("/proc/\(pid)/comm"))
    }

    private struct Fields {
        var state: Substring
        var parent: pid_t
        var startTime: UInt64
    }

    private static func fields(_ pid: pid_t) -> Fields? {
        guard let bytes = TestFile.read("/proc/\(pid)/stat"),
            let end = bytes.lastIndex(of: UInt8(ascii: ")"))
        else { return nil }
        // The name in brackets may hold blanks; what follows it does not.
        let words = String(decoding: bytes[(end + 1)...], as: UTF8.self).split(separator: " ")
        guard words.count > 19, let parent = pid_t(words[1]), let start = UInt64(words[19]) else {
            return nil
        }
        return Fields(state: words[0], parent: parent, startTime: start)
    }

    /// Everything below these processes, by parent links.
    static func descendants(of roots: [pid_t]) -> [RunningProcess] {
        var children: [pid_t: [pid_t]] = [:]
        for name in TestFile.names(in: "/proc") {
            guard let pid = pid_t(name), let fields = fields(pid) else { continue }
            children[fields.parent, default: []].append(pid)
        }
        var found: [RunningProcess] = []
        var open = roots
        while let pid = open.popLast() {
            let below = children.removeValue(forKey: pid) ?? []
            found += below.compactMap { RunningProcess($0) }
            open += below
        }
        return found
    }
}

/// Files without Foundation.
enum TestFile {
    static func read(_ path: String) -> [UInt8]? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = Glibc.read(descriptor, &piece, piece.count)
            guard count > 0 else { return bytes }
            bytes.append(contentsOf: piece[..<count])
        }
    }

    static func text(_ path: String) -> String {
        String(decoding: read(path) ?? [], as: UTF8.self)
    }

    @discardableResult
    static func write(_ text: String, to path: String, mode: mode_t = 0o644) -> String {
        write(Array(text.utf8), to: path, mode: mode)
    }

    @discardableResult
    static func write(_ bytes: [UInt8], to path: String, mode: mode_t) -> String {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)
        precondition(descriptor >= 0, "\(path) cannot be written")
        precondition(Glibc.write(descriptor, bytes, bytes.count) == bytes.count)
        close(descriptor)
        chmod(path, mode)
        return path
    }

    static func names(in path: String) -> [String] {
        guard let folder = opendir(path) else { return [] }
        defer { closedir(folder) }
        var names: [String] = []
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names
    }

    /// Removes a folder and what is in it; links are removed, not followed.
    static func removeFolder(_ path: String) {
        for name in names(in: path) {
            let inner = "\(path)/\(name)"
            var status = stat()
            if lstat(inner, &status) == 0, status.st_mode & S_IFMT == S_IFDIR {
                removeFolder(inner)
            } else {
                unlink(inner)
            }
        }
        rmdir(path)
    }
}
