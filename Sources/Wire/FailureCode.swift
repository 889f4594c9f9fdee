/// Error numbers that decisions name. The positive values of Linux and of the public `BE_`
/// constants: the pure rooms do not import the C library to learn them.
public enum FailureCode {
    public static let notPermitted: Int32 = 1
    public static let noEntry: Int32 = 2
    public static let noProcess: Int32 = 3
    public static let interrupted: Int32 = 4
    public static let ioError: Int32 = 5
    public static let outOfMemory: Int32 = 12
    public static let busy: Int32 = 16
    public static let alreadyExists: Int32 = 17
    public static let invalidArgument: Int32 = 22
    public static let noSpace: Int32 = 28
    public static let nameTooLong: Int32 = 36
    public static let notImplemented: Int32 = 38
    public static let noData: Int32 = 61
    public static let protocolError: Int32 = 71
    public static let badMessage: Int32 = 74
    public static let connectionReset: Int32 = 104
    public static let alreadyUnderWay: Int32 = 114
    public static let timedOut: Int32 = 110
    public static let hostUnreachable: Int32 = 113
    public static let canceled: Int32 = 125
    public static let invalidNode: Int32 = 300
    public static let nodeDown: Int32 = 301
    public static let sameNode: Int32 = 302
    public static let slaveDied: Int32 = 303
    public static let invalidProcess: Int32 = 304
}

/// Where a rank's start failed. The numbers equal `bproc_local_stage`.
public enum LaunchStage: UInt8, CaseIterable, Sendable, CustomStringConvertible {
    case plan = 1
    case connect = 2
    case header = 3
    case receive = 4
    case spawn = 5
    case restore = 6
    case io = 7
    case node = 8

    public var description: String {
        switch self {
        case .plan: "plan"
        case .connect: "connect"
        case .header: "image header"
        case .receive: "receive image"
        case .spawn: "spawn"
        case .restore: "restore"
        case .io: "I/O set-up"
        case .node: "node"
        }
    }
}
