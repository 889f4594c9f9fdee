/// Why a command ends early: the line it prints, and its exit status.
public struct CommandError: Error, Equatable, CustomStringConvertible {
    /// Without the command's name and without a full stop.
    public let sentence: String
    public let exitStatus: Int32

    public init(_ sentence: String, exitStatus: Int32 = ExitStatus.failure) {
        self.sentence = sentence
        self.exitStatus = exitStatus
    }

    public var description: String { sentence }
}

/// Exit statuses that the commands share.
public enum ExitStatus {
    public static let success: Int32 = 0
    public static let failure: Int32 = 1
    /// As a shell answers for a command that is there but cannot be executed.
    public static let notExecutable: Int32 = 126
    /// As a shell answers for a command that is not there.
    public static let commandNotFound: Int32 = 127
    /// A rank was not started, or the job was lost.
    public static let notStarted: Int32 = 255
    /// Added to the number of the signal that ended a process.
    public static let signalBase: Int32 = 128
}
