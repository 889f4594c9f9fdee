import CSystem
import Glibc
public import System

/// A process that cannot be taken for another one: its pid, and when it was started.
public struct ProcessIdentity: Hashable, Sendable {
    public let pid: Int32
    /// Clock ticks after the machine's start (proc(5), stat, field 22).
    public let startTicks: UInt64

    public init(pid: Int32, startTicks: UInt64) {
        self.pid = pid
        self.startTicks = startTicks
    }

    /// The process that has this pid now; nil: none, or /proc is not there.
    public init?(pid: Int32) {
        guard let fields = Self.statFields(of: pid), fields.count > 19,
            let ticks = UInt64(fields[19])
        else { return nil }
        self.init(pid: pid, startTicks: ticks)
    }

    /// A descriptor of exactly this process; nil: it has ended. A zombie has ended too.
    public func open() -> OwnedDescriptor? {
        let result = bp_command_pidfd(pid)
        guard result >= 0 else { return nil }
        let descriptor = OwnedDescriptor(adopting: Int32(result))
        // Asked after the descriptor is there: from now on the pid cannot be given away.
        guard let fields = Self.statFields(of: pid), fields.count > 19, fields[0] != "Z",
            UInt64(fields[19]) == startTicks
        else { return nil }
        return descriptor
    }

    public var isRunning: Bool {
        guard let descriptor = open() else { return false }
        _ = consume descriptor
        return true
    }

    /// All processes below the given ones, by /proc's parent links.
    public static func descendants(of ancestors: Set<Int32>) -> [ProcessIdentity] {
        var parents: [Int32: Int32] = [:]
        for pid in allPids() {
            if let fields = statFields(of: pid), fields.count > 1 {
                parents[pid] = Int32(fields[1])
            }
        }
        var found: Set<Int32> = []
        var grew = true
        while grew {
            grew = false
            for (pid, parent) in parents where !found.contains(pid) && !ancestors.contains(pid) {
                if ancestors.contains(parent) || found.contains(parent) {
                    found.insert(pid)
                    grew = true
                }
            }
        }
        return found.compactMap { ProcessIdentity(pid: $0) }
    }

    /// The fields behind the command's name: state, parent, … The name itself may hold anything.
    private static func statFields(of pid: Int32) -> [Substring]? {
        guard let text = TextFile.read("/proc/\(pid)/stat"), let end = text.lastIndex(of: ")")
        else { return nil }
        return text[text.index(after: end)...].split(whereSeparator: { $0 == " " || $0 == "\n" })
    }

    private static func allPids() -> [Int32] {
        Directory.entries(of: "/proc").compactMap { Int32($0) }
    }
}
