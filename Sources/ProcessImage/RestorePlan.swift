import CSystem
public import System

/// Everything about one rank's process that is not in its image.
public struct RestorePlan: Sendable {
    /// Where the child finds the image's bytes.
    public enum ImageSource: Sendable, Equatable {
        /// A file of this name, opened freshly in the directory: the process then holds an open
        /// file of its own, which a write lease sees for as long as the process maps it.
        case file(name: String, directory: Int32)
        /// A descriptor of the daemon's, duplicated.
        case descriptor(Int32)
    }

    /// Who the process is. nil leaves what the daemon has, for daemons without privilege.
    public struct Credentials: Sendable, Equatable {
        public var user: UInt32
        public var group: UInt32
        public var groups: [UInt32]

        public init(user: UInt32, group: UInt32, groups: [UInt32]) {
            self.user = user
            self.group = group
            self.groups = groups
        }
    }

    public struct Limit: Sendable, Equatable {
        /// RLIMIT_*.
        public var resource: Int32
        public var soft: UInt64
        public var hard: UInt64

        public init(resource: Int32, soft: UInt64, hard: UInt64) {
            self.resource = resource
            self.soft = soft
            self.hard = hard
        }
    }

    /// A descriptor that the restorer makes, as the user, before the program runs.
    public enum Item: Sendable, Equatable {
        case file(descriptor: Int32, flags: Int32, mode: UInt32, offset: Int64, path: [UInt8])
        /// `address` is 4 or 16 bytes in network order. With `sendsInfo` two native 32-bit numbers
        /// are written first: the process number and the descriptor.
        case socket(descriptor: Int32, address: [UInt8], port: UInt16, sendsInfo: Bool)
    }

    public var rank: UInt32
    /// The process number that sockets are told.
    public var processNumber: UInt32 = 0
    public var image: ImageSource
    /// Where the restored process writes its `RestoreRecord`. nil: nowhere.
    public var status: Int32?
    /// Descriptors of the daemon for 0, 1 and 2; nil leaves one closed.
    public var standardInput: Int32?
    public var standardOutput: Int32?
    public var standardError: Int32?
    public var credentials: Credentials?
    /// The program's nice value, set as the last act before it runs. nil: the daemon's.
    public var nice: Int32?
    public var umask: UInt32?
    /// The program leads a session and a process group of its own, from the moment it runs.
    public var leadsSession = true
    /// The restore runs to its end before anything else on its processor.
    public var runsAtOnce = false
    public var limits: [Limit] = []
    /// Entered as the user. nil: the daemon's.
    public var directory: [UInt8]?
    /// A working directory that this node does not have becomes "/".
    public var fallsBackToRootDirectory = true
    /// Sent to the process when the thread that spawned it ends; 0: nothing.
    public var deathSignal: Int32 = 0
    /// The number of the node, for a process that calls the library. nil: it is told nothing of a
    /// daemon.
    public var node: Int32?
    /// The daemon's socket, for BPROC_SOCKET and for a process that calls the library; at most 107
    /// bytes. Empty: the variable is blanked.
    public var socketPath: String = ""
    /// The pid namespace that the process lives in; nil: the daemon's.
    public var namespace: PidNamespace.Entrance?
    /// Its pid there, if no other process has it; nil: any.
    public var wantedPid: Int32?
    public var items: [Item] = []
    /// Placed, the process waits until it reads one byte from its status descriptor, which must be
    /// a socket then; at its end the process ends.
    public var isHeld = false
    /// Set up when that wait is over. A failure is told by a second record, and ends the process
    /// with the error number as its exit status.
    public var delayedItems: [Item] = []

    public init(rank: UInt32, image: ImageSource) {
        self.rank = rank
        self.image = image
    }

    /// Makes the process and returns when it has left the daemon's memory and runs the restorer.
    /// That it is placed, or why not, comes later on the status descriptor.
    ///
    /// Any failure until then is thrown, and no child is left.
    public func spawn(restorer: borrowing OwnedDescriptor) throws(RestoreFailure) -> ChildProcess {
        let arguments = CStringArray(restorerArguments)
        let name = CStringArray([imageName])
        let groups = credentials?.groups ?? []
        let processLimit = processLimit
        let rawLimits = limits.map { limit in
            // One more for the restorer's test; it sets the right one.
            let spare: UInt64 = limit == processLimit ? 1 : 0
            return bp_spawn_limit(
                resource: limit.resource, pad: 0, soft: limit.soft + spare,
                hard: max(limit.hard, limit.soft + spare))
        }
        var pidfd: Int32 = -1
        var failure = bp_spawn_failure()
        let executable = restorer.number
        let result = unsafe arguments.withPointers { arguments in
            unsafe name.withPointers { name in
                unsafe groups.withUnsafeBufferPointer { groups in
                    unsafe rawLimits.withUnsafeBufferPointer { limits in
                        var plan = unsafe bp_spawn_plan()
                        unsafe plan.arguments = arguments
                        unsafe plan.restorer = executable
                        unsafe plan.image_name = name[0]
                        unsafe plan.groups = groups.baseAddress
                        unsafe plan.group_count = UInt32(groups.count)
                        unsafe plan.limits = limits.baseAddress
                        unsafe plan.limit_count = UInt32(limits.count)
                        unsafe fill(&plan)
                        return unsafe bp_spawn_restored(&plan, &pidfd, &failure)
                    }
                }
            }
        }
        guard result > 0 else {
            throw RestoreFailure(
                stage: UInt32(failure.stage), step: UInt32(failure.step),
                errorNumber: Int32(truncatingIfNeeded: -result))
        }
        return ChildProcess(
            identifier: Int32(truncatingIfNeeded: result),
            descriptor: OwnedDescriptor(adopting: pidfd))
    }

    /// The fields of the plan that are numbers.
    private func fill(_ plan: inout bp_spawn_plan) {
        unsafe plan.image_directory = -1
        unsafe plan.image = -1
        switch image {
        case .file(_, let directory): unsafe plan.image_directory = directory
        case .descriptor(let number): unsafe plan.image = number
        }
        unsafe plan.initial_process = namespace?.initialProcess ?? -1
        unsafe plan.own_process = namespace?.ownProcess ?? -1
        unsafe plan.wanted_pid = wantedPid ?? 0
        unsafe plan.status = status ?? -1
        unsafe plan.standard_input = standardInput ?? -1
        unsafe plan.standard_output = standardOutput ?? -1
        unsafe plan.standard_error = standardError ?? -1
        var flags: UInt32 = 0
        if credentials != nil { flags |= BP_SPAWN_SET_GROUPS.rawValue }
        if let nice {
            flags |= BP_SPAWN_SET_NICE.rawValue
            unsafe plan.nice = nice
        }
        if runsAtOnce { flags |= BP_SPAWN_AT_ONCE.rawValue }
        if let umask {
            flags |= BP_SPAWN_SET_UMASK.rawValue
            unsafe plan.umask = umask
        }
        unsafe plan.flags = flags
    }

    /// The limit on the user's processes, if it can ever be reached: root has none, and no kernel
    /// has more processes than 2^22.
    private var processLimit: Limit? {
        guard let credentials, credentials.user != 0 else { return nil }
        return limits.last { $0.resource == 6 && $0.soft < 1 << 22 }  // RLIMIT_NPROC
    }

    private var imageName: [UInt8] {
        if case .file(let name, _) = image { return Array(name.utf8) }
        return []
    }

    /// The restorer's argument list; restorer.c says what the letters mean.
    var restorerArguments: [[UInt8]] {
        var arguments = ["bproc-restorer", "i\(BP_SPAWN_IMAGE)", "r\(rank)"]
        if status != nil { arguments.append("s\(BP_SPAWN_STATUS)") }
        if let credentials {
            arguments.append("u\(credentials.user)")
            arguments.append("g\(credentials.group)")
        }
        if let nice { arguments.append("n\(nice)") }
        if leadsSession { arguments.append("l1") }
        if isHeld { arguments.append("h1") }
        if deathSignal != 0 { arguments.append("k\(deathSignal)") }
        if processNumber != 0 { arguments.append("N\(processNumber)") }
        if let node { arguments.append("o\(node)") }
        if !socketPath.isEmpty { arguments.append("p" + socketPath) }
        if let processLimit {
            // -1 stands for all that is as good as infinite.
            let hard = processLimit.hard < 1 << 32 ? Int64(processLimit.hard) : -1
            arguments.append("c\(processLimit.soft):\(hard)")
        }
        var bytes = arguments.map { Array($0.utf8) }
        if let directory {
            bytes.append(Array((fallsBackToRootDirectory ? "d" : "D").utf8) + directory)
        }
        return bytes + items.map(\.argument)
            + delayedItems.map { Array("+".utf8) + $0.argument }
    }
}

extension RestorePlan.Item {
    var argument: [UInt8] {
        switch self {
        case .file(let descriptor, let flags, let mode, let offset, let path):
            return Array("F\(descriptor):\(flags):\(mode):\(offset):".utf8) + path
        case .socket(let descriptor, let address, let port, let sendsInfo):
            let family = address.count == 4 ? 2 : 10  // AF_INET, AF_INET6
            let digits = address.map { byte in
                (byte < 16 ? "0" : "") + String(byte, radix: 16)
            }.joined()
            return Array("S\(descriptor):\(sendsInfo ? 1 : 0):\(family):\(port):\(digits)".utf8)
        }
    }
}
