import CSystem

/// How a child ended, and what it used.
public struct ChildExit: Equatable, Sendable {
    /// As waitpid reports it.
    public let waitStatus: Int32
    public let userMicroseconds: UInt64
    public let systemMicroseconds: UInt64
    public let maximumResidentKilobytes: UInt64

    /// Stands for an exit that could not be read: as if killed.
    public static let unknown = ChildExit(
        waitStatus: 9, userMicroseconds: 0, systemMicroseconds: 0, maximumResidentKilobytes: 0)

    /// Reaps the child behind a pidfd if it has ended; nil while it runs.
    public static func reap(pidfd: Int32) throws(SystemCallError) -> ChildExit? {
        var raw = bp_child_exit()
        guard try check("waitid", unsafe bp_reap(pidfd, &raw)) == 1 else { return nil }
        return ChildExit(
            waitStatus: raw.wait_status, userMicroseconds: raw.user_microseconds,
            systemMicroseconds: raw.system_microseconds,
            maximumResidentKilobytes: raw.max_resident_kilobytes)
    }
}
