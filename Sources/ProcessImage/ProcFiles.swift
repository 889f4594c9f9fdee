import CSystem
import System

/// What /proc says about one process, read whole and taken apart without Foundation.
struct ProcFiles {
    let pid: Int32
    /// What /proc calls the process: on a node it may be that of another pid namespace.
    private let shownPid: Int32

    init(pid: Int32) {
        self.pid = pid
        shownPid = bp_shown_pid(pid)
    }

    /// Opens /proc/<pid>/<name>.
    func open(_ name: String) throws(CaptureError) -> OwnedDescriptor {
        let path = "/proc/\(shownPid)/\(name)"
        return OwnedDescriptor(
            adopting: Int32(try require("open \(path)", unsafe bp_image_open(path, 0))))
    }

    /// All bytes of /proc/<pid>/<name>.
    func bytes(_ name: String) throws(CaptureError) -> [UInt8] {
        let path = "/proc/\(shownPid)/\(name)"
        let file = try open(name)
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 16384)
        while true {
            let count = try require(
                "read \(path)",
                unsafe bp_image_read_at(file.number, &piece, piece.count, UInt64(bytes.count)))
            if count == 0 { return bytes }
            bytes += piece[..<count]
        }
    }

    /// The numbers of /proc/<pid>/stat that follow the name, as proc(5) counts them: 3 is the
    /// state.
    func statFields() throws(CaptureError) -> [UInt64] {
        let bytes = try bytes("stat")
        // The name may contain anything, a closing parenthesis too: the last one ends it.
        let end = (bytes.lastIndex(of: UInt8(ascii: ")")) ?? -1) + 1
        let words = bytes[end...].split(whereSeparator: { $0 == 32 || $0 == 10 })
        return [0, 0, 0] + words.map { UInt64(String(decoding: $0, as: UTF8.self)) ?? 0 }
    }

    /// The value of a line "Name:\tvalue" of /proc/<pid>/status.
    func statusValue(_ name: String, in bytes: [UInt8]) -> String? {
        for line in bytes.split(separator: UInt8(ascii: "\n")) {
            guard line.starts(with: Array((name + ":").utf8)) else { continue }
            let value = line.dropFirst(name.utf8.count + 1).drop { $0 == 9 || $0 == 32 }
            return String(decoding: value, as: UTF8.self)
        }
        return nil
    }
}

/// One line of /proc/<pid>/maps.
struct MapLine: Equatable {
    var start: UInt64
    var end: UInt64
    /// PROT_ bits.
    var protection: UInt32
    var isShared: Bool
    var inode: UInt64
    var name: [UInt8]

    var byteCount: UInt64 { end - start }
    var isStack: Bool { name == Array("[stack]".utf8) }
    var isVdso: Bool { name == Array("[vdso]".utf8) }
    /// The kernel's own mappings: [vvar], [vvar_vclock], [vdso], [vsyscall] and what else may come.
    var isKernels: Bool { name.starts(with: Array("[v".utf8)) }
    var isFile: Bool { inode != 0 || name.first == UInt8(ascii: "/") }

    /// Reads "start-end perms offset device inode   name"; nil for a line of another shape.
    init?(_ line: ArraySlice<UInt8>) {
        let words = line.split(
            separator: UInt8(ascii: " "), maxSplits: 5, omittingEmptySubsequences: true)
        guard words.count >= 5 else { return nil }
        let range = words[0].split(separator: UInt8(ascii: "-"))
        guard range.count == 2,
            let start = UInt64(String(decoding: range[0], as: UTF8.self), radix: 16),
            let end = UInt64(String(decoding: range[1], as: UTF8.self), radix: 16),
            end > start, words[1].count == 4
        else { return nil }
        self.start = start
        self.end = end
        let letters = Array(words[1])
        protection =
            (letters[0] == UInt8(ascii: "r") ? 1 : 0) | (letters[1] == UInt8(ascii: "w") ? 2 : 0)
            | (letters[2] == UInt8(ascii: "x") ? 4 : 0)
        isShared = letters[3] == UInt8(ascii: "s")
        inode = UInt64(String(decoding: words[4], as: UTF8.self)) ?? 0
        name = words.count > 5 ? Array(words[5].drop { $0 == 32 }) : []
    }

    /// Where those mappings begin that have pages, in memory or swapped out, from smaps.
    static func touchedStarts(of process: ProcFiles) throws(CaptureError) -> Set<UInt64> {
        let names = ["Rss:", "Swap:"].map { Array($0.utf8) }
        var starts: Set<UInt64> = []
        var current: MapLine?
        for line in try process.bytes("smaps").split(separator: UInt8(ascii: "\n")) {
            if let mapping = MapLine(line) {
                current = mapping
            } else if names.contains(where: { line.starts(with: $0) }) {
                let words = line.split(separator: UInt8(ascii: " "))
                let isZero = words.count > 1 && words[1].elementsEqual([UInt8(ascii: "0")])
                if !isZero, let current { starts.insert(current.start) }
            }
        }
        return starts
    }

    static func all(of process: ProcFiles) throws(CaptureError) -> [MapLine] {
        try process.bytes("maps").split(separator: UInt8(ascii: "\n")).compactMap { MapLine($0) }
    }
}

extension ProcFiles {
    /// /proc/<pid>/mem, which a tracer may read without regard to page protection.
    func memory() throws(CaptureError) -> OwnedDescriptor { try open("mem") }

    static func readMemory(
        _ descriptor: Int32, _ bytes: UnsafeMutableRawPointer, _ byteCount: Int, _ address: UInt64
    ) -> Int {
        unsafe bp_image_read_at(descriptor, bytes, byteCount, address)
    }
}
