import CBProc
import Glibc

/// The process space: every process that was started on a node, wherever this one runs.
extension Cluster {
    /// A process, and where it is.
    public struct Process: Hashable, Sendable {
        /// Its number on the front end, which names it everywhere.
        public var number: Int32
        public var node: Int32

        public init(number: Int32, node: Int32) {
            self.number = number
            self.node = node
        }
    }

    /// The processes on a node; without one, those on all nodes. In the order of their start.
    /// - Throws: `BE_INVALIDNODE` for a node that does not exist.
    public func processes(on node: Int32? = nil) throws(BProcError) -> [Process] {
        var list: UnsafeMutablePointer<bproc_proc_info_t>?
        let count = unsafe bproc_proclist(node ?? BPROC_NODE_ANY, &list)
        guard count >= 0 else { throw .last(node: node) }
        // The library has made a list of that many entries, for the caller to free.
        defer { unsafe free(list) }
        return (0..<Int(count)).map { index in
            let entry = unsafe list![index]
            return Process(number: entry.pid, node: entry.node)
        }
    }

    /// The node of a process; nil: it is one of the front end, or none.
    public func node(ofProcess number: Int32) throws(BProcError) -> Int32? {
        errno = 0
        let node = bproc_pidnode(number)
        guard node < 0, errno != 0 else { return node < 0 ? nil : node }
        guard errno == ESRCH else { throw .last() }
        return nil
    }

    /// The node whose death was that of a process; nil: it has not ended so, as far as the front
    /// end remembers.
    public func node(ofLostProcess number: Int32) throws(BProcError) -> Int32? {
        let node = bproc_lostnode(number)
        guard node < 0 else { return node }
        guard errno == ESRCH else { throw .last() }
        return nil
    }

    /// Sends a signal to a process, or to all of its job and what they have started. A process that
    /// is still being started gets it when it is there.
    ///
    /// - Parameter signal: 0: only whether it could be sent.
    /// - Throws: ESRCH, EPERM for a process of another user, EINVAL.
    public func send(
        signal: Int32, toProcess number: Int32, wholeJob: Bool = false
    ) throws(BProcError) {
        let result = wholeJob ? bproc_killjob(number, signal) : bproc_kill(number, signal)
        guard result == 0 else { throw .last() }
    }
}

/// A process as its node sees it now.
public struct ProcessStatus: Equatable, Sendable {
    /// Its number; nil: it has none, because a process that has one has started it.
    public var number: Int32?
    public var node: Int32
    /// Of the process, or of the one that has started it.
    public var rank: Int32
    /// The same for all processes of one launch.
    public var job: UInt64
    /// The node's own numbers of it and its parent.
    public var localNumber: Int32
    public var localParent: Int32
    /// Whose rights it has now.
    public var user: UInt32
    /// The letter that ps shows.
    public var state: Character
    public var userMicroseconds: UInt64
    public var systemMicroseconds: UInt64
    /// Since its start.
    public var elapsedMicroseconds: UInt64
    public var residentByteCount: UInt64
    /// Its arguments, or its name in brackets.
    public var command: String

    public init(
        number: Int32?, node: Int32, rank: Int32, job: UInt64, localNumber: Int32,
        localParent: Int32, user: UInt32, state: Character, userMicroseconds: UInt64,
        systemMicroseconds: UInt64, elapsedMicroseconds: UInt64, residentByteCount: UInt64,
        command: String
    ) {
        self.number = number
        self.node = node
        self.rank = rank
        self.job = job
        self.localNumber = localNumber
        self.localParent = localParent
        self.user = user
        self.state = state
        self.userMicroseconds = userMicroseconds
        self.systemMicroseconds = systemMicroseconds
        self.elapsedMicroseconds = elapsedMicroseconds
        self.residentByteCount = residentByteCount
        self.command = command
    }
}

extension Cluster {
    /// What processes do, and which nodes did not say.
    public struct ProcessSurvey: Sendable {
        public var processes: [ProcessStatus] = []
        /// Nodes that have not answered in time, or died meanwhile, and why.
        public var silent: [(node: Int32, error: BProcError)] = []
        public init() {}
    }

    /// Asks the nodes what their processes do.
    /// - Parameters:
    ///   - node: nil: all that have some.
    ///   - patienceMilliseconds: for each node; 1 to 20000.
    public func survey(
        of node: Int32? = nil, patienceMilliseconds: Int32 = 2000
    ) throws(BProcError) -> ProcessSurvey {
        var list: UnsafeMutablePointer<bproc_process_status>?
        let count = unsafe bproc_processstatus(
            node ?? BPROC_NODE_ANY, patienceMilliseconds, &list)
        guard count >= 0 else { throw .last(node: node) }
        // The library has made a list of that many entries, for the caller to free.
        defer { unsafe free(list) }
        var survey = ProcessSurvey()
        survey.processes.reserveCapacity(Int(count))
        for index in 0..<Int(count) {
            let raw = unsafe list![index]
            if raw.error > 0 {
                let error = BProcError(errorNumber: raw.error, sentence: "", node: raw.node)
                survey.silent.append((raw.node, error))
            } else {
                survey.processes.append(ProcessStatus(raw))
            }
        }
        return survey
    }

    /// What a daemon keeps: a line `name: number` for each thing.
    /// - Parameter node: its slave; nil: the daemon that answers here.
    public func bookKeeping(of node: Int32? = nil) throws(BProcError) -> String {
        var text: UnsafeMutablePointer<CChar>?
        guard unsafe bproc_debug(node ?? BPROC_NODE_ANY, &text) == 0, let text = unsafe text else {
            throw .last(node: node)
        }
        defer { unsafe free(text) }
        return unsafe String(cString: text)
    }

    /// What the master has done and has now, in the exposition format of Prometheus.
    public func metrics() throws(BProcError) -> String {
        var text: UnsafeMutablePointer<CChar>?
        guard unsafe bproc_metrics(&text) == 0, let text = unsafe text else { throw .last() }
        defer { unsafe free(text) }
        return unsafe String(cString: text)
    }
}

extension ProcessStatus {
    fileprivate init(_ raw: bproc_process_status) {
        var command = raw.command
        let text = unsafe withUnsafeBytes(of: &command) { bytes in
            unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        self.init(
            number: raw.pid > 0 ? raw.pid : nil, node: raw.node, rank: raw.rank, job: raw.job,
            localNumber: raw.local_pid, localParent: raw.local_parent, user: raw.user,
            state: Unicode.Scalar(UInt32(bitPattern: raw.state)).map(Character.init) ?? "?",
            userMicroseconds: raw.user_microseconds, systemMicroseconds: raw.system_microseconds,
            elapsedMicroseconds: raw.elapsed_microseconds,
            residentByteCount: raw.resident_bytes, command: text)
    }
}
