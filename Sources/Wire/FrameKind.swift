/// What a frame is. The numbers are the wire's; they are never reused.
public enum FrameKind: UInt8, Sendable, CaseIterable {
    // Any link.
    case hello = 1
    case welcome = 2
    case refusal = 3
    case ping = 4
    case pong = 5

    // Control links, both ways: how many counted frames have come.
    case acknowledge = 6

    // Between hello and welcome of a slave that brings processes along.
    case keptRequest = 7
    case kept = 8
    case adoption = 9

    // Relay links, downwards.
    case launch = 16
    case chunk = 17
    case done = 18
    case abort = 19

    // Relay links, upwards.
    case attach = 24
    case credit = 25
    case answer = 26

    // Relay links, both ways: a sign of life while a launch is under way.
    case alive = 28

    // Control links, slave to master.
    case exit = 40
    case output = 41
    case inputCredit = 42
    case query = 43
    case clientLaunch = 44
    case clientSays = 45
    case nodesRequest = 46
    case clientRequest = 47

    // Control links, master to slave.
    case signal = 48
    case input = 49
    case outputCredit = 50
    case verdict = 51
    case clientHears = 52
    case nodes = 53
    case nodesChanged = 54
    case nodeControl = 55
    case processesRequest = 57
    case bookRequest = 58
    case outputClosed = 59

    // Control links, slave to master, again.
    case nodesWatch = 60
    case nodeControlled = 61
    case processes = 63
    case book = 64
    case leave = 65
    case stop = 70
    case arrival = 71

    /// Whether the frame is numbered on a control link, and sent again by the connection that takes
    /// the place of one that did not deliver it.
    public var isCounted: Bool {
        switch self {
        case .hello, .welcome, .refusal, .ping, .pong, .acknowledge, .keptRequest, .kept,
            .adoption:
            false
        default: true
        }
    }

    /// The largest body a receiver accepts, in bytes: checked before anything is allocated.
    public var bodyLimit: UInt32 {
        switch self {
        case .hello, .welcome, .refusal: 4096
        case .ping, .pong, .acknowledge, .alive, .done, .abort, .credit, .query, .nodesRequest,
            .nodesWatch,
            .nodesChanged, .processesRequest, .bookRequest, .keptRequest, .outputClosed:
            0
        case .kept: KeptLaunch.frameByteLimit
        case .adoption: Adoption.byteLimit
        case .leave: 256
        case .launch: 16 << 20
        case .chunk: ChunkSize.limit
        case .attach: 0
        case .answer: 32 << 20
        case .exit: 1 << 20
        case .output, .input: 1 << 16
        case .nodeControl: 8192
        case .nodeControlled: 256
        case .inputCredit, .outputCredit: 8
        case .signal: UInt32(RankSignal.byteCount)
        case .stop: 1 << 20
        case .verdict: 1
        case .clientLaunch: ClientLaunch.byteLimit
        case .clientRequest: ClientRequest.byteLimit
        case .clientSays: 1 << 20
        case .clientHears: 1 << 16
        case .nodes: 4 << 20
        case .processes: ProcessReport.byteLimit
        case .book: 1 << 16
        case .arrival: 256
        }
    }
}

/// Limits on the size of a chunk, the unit of relay.
public enum ChunkSize {
    /// The smallest chunk the planner may choose, and the granularity of all of them: one checksum
    /// block of the image.
    public static let granularity: UInt32 = 16 << 10
    public static let limit: UInt32 = 8 << 20
}
