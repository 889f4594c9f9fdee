import CBProc
import Glibc

/// The cluster as the daemon on this machine knows it.
///
/// A value without state: each call opens a connection of its own, so it may be used anywhere.
public struct Cluster: Sendable {
    public init() {}

    /// One node of the daemon's table.
    public struct Node: Equatable, Sendable {
        public var number: Int32
        /// "up", "down", "boot", "error", or what the site has set; at most 15 characters.
        public var state: String
        /// Permission to use the node, as of a file: the bits 0111.
        public var mode: UInt32
        public var user: UInt32
        public var group: UInt32
        /// Dotted, without the port; nil: none, or not IPv4.
        public var address: String?

        public init(
            number: Int32, state: String, mode: UInt32, user: UInt32, group: UInt32,
            address: String?
        ) {
            self.number = number
            self.state = state
            self.mode = mode
            self.user = user
            self.group = group
            self.address = address
        }
    }

    /// All configured nodes, in the daemon's order; never the front end.
    public func nodes() throws(BProcError) -> [Node] {
        var set = unsafe bproc_node_set_t()
        guard unsafe bproc_nodelist(&set) >= 0 else { throw .last() }
        return unsafe Self.taking(&set)
    }

    /// The number of the node that this process runs on; -1 on the front end.
    public var currentNode: Int32 { bproc_currnode() }

    /// The daemon's version.
    public func version() throws(BProcError) -> String {
        var version = bproc_version_t()
        guard unsafe bproc_version(&version) == 0 else { throw .last() }
        return text(version.version_string)
    }

    /// Takes the image of a program, stopped in this process's directory, limits and signal mask.
    /// - Parameters:
    ///   - command: a path; PATH is not searched.
    ///   - arguments: bytes without NUL; the zeroth is what the program believes to be called.
    ///   - environment: `NAME=value` each.
    /// - Throws: the reason why the program cannot be executed, as execve has it, or captured.
    public func capture(
        _ command: String, arguments: [[UInt8]], environment: [[UInt8]],
        point: CapturePoint = .entry, compression: ImageCompression = .auto
    ) throws(BProcError) -> CapturedImage {
        var info = bproc_capture_info()
        let argumentList = CStringList(arguments)
        let environmentList = CStringList(environment)
        let descriptor = unsafe bproc_capture(
            command, argumentList.pointer, environmentList.pointer,
            point.rawValue | compression.flags, &info)
        guard descriptor >= 0 else { throw .last() }
        return CapturedImage(
            adopting: descriptor, byteCount: info.image_bytes,
            captureNanoseconds: info.capture_nanoseconds)
    }

    /// Sends a launch and answers at once; how it goes comes as the job's events.
    /// - Parameter nodes: one rank each; a node that stands here twice gets two.
    public func launch(
        _ image: borrowing CapturedImage, command: String, on nodes: [Int32],
        options: LaunchOptions = LaunchOptions()
    ) throws(BProcError) -> Job {
        var request = unsafe bproc_job_request()
        unsafe request.struct_bytes = MemoryLayout<bproc_job_request>.size
        unsafe request.image = image.descriptor
        unsafe request.rank_count = Int32(clamping: nodes.count)
        unsafe request.io_count = options.io.map { Int32(clamping: $0.count) } ?? BPROC_JOB_FORWARD
        unsafe request.flags = options.flags
        unsafe request.fan_out = options.fanOut
        unsafe request.chunk_byte_count = options.chunkByteCount
        var job: OpaquePointer?
        let io = unsafe (options.io ?? []).map { unsafe $0.entry }
        // The library copies what the request names before it returns.
        let result = unsafe nodes.withUnsafeBufferPointer { nodes in
            unsafe io.withUnsafeBufferPointer { io in
                unsafe command.withCString { command in
                    unsafe request.nodes = nodes.baseAddress
                    unsafe request.io = io.baseAddress
                    unsafe request.command = command
                    return unsafe bproc_job_launch(&request, &job)
                }
            }
        }
        guard result == 0, let job = unsafe job else { throw .last() }
        return unsafe Job(adopting: job)
    }
}

/// Where a program is stopped to take its image.
public enum CapturePoint: Int32, Sendable {
    /// The dynamic linker is done: the node needs no files at all.
    case entry = 0
    /// Before the dynamic linker.
    case exec = 1
}

/// Whether an image travels packed by LZ4.
public enum ImageCompression: String, Sendable, CaseIterable {
    /// If a sample of it says that this saves time on the network of the nodes that are up.
    case auto
    case always
    case never

    var flags: Int32 {
        switch self {
        case .auto: 0
        case .always: BPROC_CAPTURE_PACKED
        case .never: BPROC_CAPTURE_UNPACKED
        }
    }
}

/// How to launch; the defaults forward all three standard streams.
public struct LaunchOptions: Sendable {
    /// Send progress events.
    public var reportsProgress = false
    /// Start all ranks after the last is placed.
    public var holdsUntilPlaced = false
    /// Tell `Job.stageTimes`.
    public var tellsTimes = false
    /// With forwarding: standard input is /dev/null.
    public var inputIsNull = false
    /// The descriptors of every rank; nil: forwarded over the job.
    public var io: [RankDescriptor]?
    /// What `io` does not name of the three standard streams is forwarded.
    public var forwardsRest = false
    /// Make the ranks children of this process, where that can be done.
    public var makesChildren = false
    /// The ranks live on when the job is let go of, or this process ends.
    public var outlivesCaller = false
    /// 0: the planner chooses.
    public var fanOut: UInt32 = 0
    /// 0: the planner chooses.
    public var chunkByteCount: UInt32 = 0

    public init() {}

    var flags: UInt32 {
        (reportsProgress ? BPROC_JOB_PROGRESS : 0) | (holdsUntilPlaced ? BPROC_JOB_HOLD : 0)
            | (tellsTimes ? BPROC_JOB_TIMES : 0) | (inputIsNull ? BPROC_JOB_NULL_INPUT : 0)
            | (forwardsRest ? BPROC_JOB_FORWARD_REST : 0)
            | (makesChildren ? BPROC_JOB_CHILDREN : 0)
            | (outlivesCaller ? 0 : BPROC_JOB_END_WITH_CALLER)
    }
}

/// A file that is opened on the node as a descriptor of the rank.
public struct RankDescriptor: Sendable {
    public var number: Int32
    /// At most 255 bytes.
    public var path: String
    public var openFlags: Int32
    public var mode: Int32

    public init(_ number: Int32, path: String, openFlags: Int32, mode: Int32 = 0) {
        self.number = number
        self.path = path
        self.openFlags = openFlags
        self.mode = mode
    }

    var entry: bproc_io_t {
        var entry = unsafe bproc_io_t()
        unsafe entry.fd = number
        unsafe entry.type = Int16(BPROC_IO_FILE)
        unsafe entry.d.file.flags = openFlags
        unsafe entry.d.file.mode = mode
        let bytes = Array(path.utf8)
        unsafe withUnsafeMutableBytes(of: &entry.d.file.name) { name in
            precondition(bytes.count < name.count, "a path of a rank has at most 255 bytes")
            unsafe name.copyBytes(from: bytes)
        }
        return unsafe entry
    }
}

extension Cluster.Node {
    init(_ info: bproc_node_info_t) {
        self.init(
            number: info.node, state: text(info.status), mode: info.mode, user: info.user,
            group: info.group, address: nil)
        guard info.addr.sa_family == UInt16(AF_INET) else { return }
        // struct sockaddr_in: family, port, then the four bytes of the address.
        let data = info.addr.sa_data
        address = [data.2, data.3, data.4, data.5].map { "\(UInt8(bitPattern: $0))" }
            .joined(separator: ".")
    }
}

/// The text in a fixed field of a C struct, up to its NUL.
private func text<Field>(_ field: Field) -> String {
    unsafe withUnsafeBytes(of: field) { bytes in
        unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
}
