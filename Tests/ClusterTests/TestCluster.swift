import Glibc
import Testing

/// A master and slaves of this build on loopback addresses of their own, in a folder of their own.
///
/// It starts the daemons itself, as an administrator's unit files would, so that single ones can be
/// given options, killed, stopped and started again.
final class TestCluster {
    struct Shape {
        var nodeCount: Int
        /// All daemons on ::1, told apart by their ports.
        var usesIPv6 = false
        var master: [String] = []
        /// Options of all slaves, and of single ones.
        var slaves: [String] = []
        var slave: [Int: [String]] = [:]
        /// Program and arguments that all daemons, or single slaves, are started through.
        var wrapper: [String] = []
        var slaveWrapper: [Int: [String]] = [:]
    }

    struct Failure: Error, CustomStringConvertible { var description: String }

    let folder: String
    let shape: Shape
    let port: UInt16
    let masterAddress: String
    private(set) var master: Subprocess?
    private(set) var slaves: [Int: Subprocess] = [:]
    private let network: Int

    static let build = Package.root + "/.build/release"
    /// Longest time that anything may take before it counts as hanging.
    static let patience = 60

    /// Loopback addresses of one cluster: 127.<network>.0.0/16.
    nonisolated(unsafe) private static var clusterCount = 0

    private init(_ shape: Shape) throws(Failure) {
        for name in [
            "bpmaster", "bpslave", "bpsh", "bpcp", "bpcp-node", "bpstat", "bpps", "bpkill", "bpctl",
            "bplib",
            "bpcluster",
        ] {
            guard access("\(Self.build)/\(name)", X_OK) == 0 else {
                throw Failure(
                    description: "\(name) is not built: run `swift build -c release` first")
            }
        }
        self.shape = shape
        // The suite is serialized, so the count needs no lock; the pid keeps two runs apart.
        Self.clusterCount += 1
        network = 16 + (Int(getpid()) + Self.clusterCount) % 200
        let address = "127.\(network).255.1"
        masterAddress = shape.usesIPv6 ? "[::1]" : address
        guard let port = RawLink.freePort(of: address) else {
            throw Failure(description: "no port of \(address) is free")
        }
        self.port = port
        folder = TestFolder.make("cluster")
        for name in ["daemons", "tmp"] { mkdir("\(folder)/\(name)", 0o755) }
    }

    /// Runs the body with a cluster that is up, and takes the cluster down whatever happens.
    static func with(_ shape: Shape, _ body: (TestCluster) throws -> Void) throws {
        let cluster = try TestCluster(shape)
        defer { cluster.tearDown() }
        try cluster.start()
        try body(cluster)
        cluster.expectNothingLeft()
    }

    static func with(nodes: Int, _ body: (TestCluster) throws -> Void) throws {
        try with(Shape(nodeCount: nodes), body)
    }

    // MARK: Daemons

    var daemons: [Subprocess] { ([master] + Array(slaves.values)).compactMap { $0 } }
    var socket: String { "\(folder)/socket" }
    var masterLog: String { TestFile.text("\(folder)/daemons/master.log") }
    func slaveLog(_ node: Int) -> String { TestFile.text("\(folder)/daemons/\(node).log") }
    func slaveAddress(_ node: Int) -> String {
        shape.usesIPv6 ? "[::1]" : "127.\(network).0.\(node + 1)"
    }

    private func start() throws {
        try startMaster()
        for node in 0..<shape.nodeCount { try startSlave(node) }
        try waitUntilUp(Set(0..<shape.nodeCount))
    }

    /// Starts a master, or starts another one in the place of one that has ended.
    func startMaster() throws {
        let arguments =
            [
                "--foreground", "--log-level", "debug", "--listen", "\(masterAddress):\(port)",
                "--socket", socket,
            ] + (shape.master.contains("--config") ? [] : ["--nodes", "\(shape.nodeCount)"])
            + shape.master
        master = try daemon("bpmaster", arguments, wrapper: shape.wrapper, log: "master")
        try expect("the master's socket") { access(socket, F_OK) == 0 }
    }

    /// Starts a slave, or starts it again with other options.
    func startSlave(_ node: Int, options: [String]? = nil) throws {
        let arguments =
            [
                "--foreground", "--log-level", "debug", "--node", "\(node)", "--listen",
                "\(slaveAddress(node)):\(shape.usesIPv6 ? 0 : port)",
            ] + shape.slaves + (options ?? shape.slave[node] ?? []) + ["\(masterAddress):\(port)"]
        slaves[node] = try daemon(
            "bpslave", arguments, wrapper: shape.slaveWrapper[node] ?? shape.wrapper,
            log: "\(node)")
    }

    /// Starts the slave beside the master, and waits until it can be reached.
    func startFrontEnd() throws {
        slaves[-1] = try daemon(
            "bpslave",
            [
                "--foreground", "--log-level", "debug", "--front-end", "--listen",
                "\(masterAddress):0", "\(masterAddress):\(port)",
            ], wrapper: shape.wrapper, log: "front-end")
        try expect("the front end's slave") { masterLog.contains("node -1 is up") }
    }

    private func daemon(
        _ name: String, _ arguments: [String], wrapper: [String], log: String
    ) throws -> Subprocess {
        let path = "\(folder)/daemons/\(log).log"
        let output = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
        let input = open("/dev/null", O_RDONLY | O_CLOEXEC)
        defer {
            close(output)
            close(input)
        }
        let words = wrapper + ["\(Self.build)/\(name)"] + arguments
        return try Subprocess(
            words[0], Array(words.dropFirst()), environment: environment,
            descriptors: [input, output, output])
    }

    /// Waits until exactly these nodes are up.
    func waitUntilUp(_ nodes: Set<Int>) throws {
        try expect("nodes \(nodes.sorted()) up, others not") { upNodes() == nodes }
    }

    func upNodes() -> Set<Int>? {
        guard let status = try? command("bpstat", ["-l"]), status.status == 0 else { return nil }
        let lines = status.text.split(separator: "\n").dropFirst()
        return Set(
            lines.compactMap { line in
                let words = line.split(separator: " ")
                return words.count > 2 && words[2] == "up" ? Int(words[0]) : nil
            })
    }

    /// The numbers of all processes on nodes, as `bpstat -p` lists them.
    func processNumbers() throws -> [String] {
        try command("bpstat", ["-p"]).text.split(separator: "\n").dropFirst().compactMap {
            $0.split(whereSeparator: \.isWhitespace).first.map(String.init)
        }
    }

    /// Waits for something that must come; a wait in vain is the test's failure.
    func expect(_ what: String, _ condition: () -> Bool) throws {
        guard Waiting.until(seconds: Self.patience, condition) else {
            throw Failure(description: "waited in vain for \(what); master's log: \(logEnd)")
        }
    }

    private var logEnd: String {
        masterLog.split(separator: "\n").suffix(8).joined(separator: "\n")
    }

    /// What a node's slave has started.
    func processes(on node: Int) -> [RunningProcess] {
        (slaves[node].map { RunningProcess.descendants(of: [$0.pid]) } ?? [])
            .filter { !$0.isInitial }
    }

    // MARK: Commands

    var environment: [String: String] {
        ["PATH": "/usr/local/bin:/usr/bin:/bin", "BPROC_SOCKET": socket, "LANG": "C.UTF-8"]
    }

    func conversation(
        _ name: String, _ arguments: [String], input: [UInt8]? = []
    ) throws -> Conversation {
        let program = name.hasPrefix("/") ? name : "\(Self.build)/\(name)"
        return try Conversation(program, arguments, environment: environment, input: input)
    }

    func command(
        _ name: String, _ arguments: [String], input: [UInt8] = []
    ) throws -> Subprocess.Outcome {
        let outcome = try conversation(name, arguments, input: input)
            .finish(seconds: Self.patience)
        #expect(!outcome.isOverdue, "\(name) \(arguments.prefix(8)) hangs: \(logEnd)")
        return outcome
    }

    /// bpsh with the nodes and the command.
    func run(_ arguments: String..., input: [UInt8] = []) throws -> Subprocess.Outcome {
        try command("bpsh", arguments, input: input)
    }

    /// Starts a bpsh whose input stays open, and waits for this many lines from its ranks.
    func startJob(_ arguments: String..., lineCount: Int) throws -> Conversation {
        let job = try conversation("bpsh", arguments, input: nil)
        let started = job.serve(seconds: Self.patience) {
            job.text.filter { $0 == "\n" }.count >= lineCount || job.process.poll() != nil
        }
        guard started, job.process.status == nil else {
            let outcome = job.finish(seconds: 1)
            throw Failure(description: "the job did not start: \(outcome.errorText) \(logEnd)")
        }
        return job
    }

    // MARK: End

    /// Ends the master and the slaves as a service manager does, and looks for what is left.
    private func tearDown() {
        let daemons = daemons
        let below = RunningProcess.descendants(of: daemons.map(\.pid))
        for daemon in daemons {
            daemon.signal(SIGTERM)
            daemon.signal(SIGCONT)
        }
        for daemon in daemons {
            guard let status = daemon.wait(seconds: Self.patience) else {
                Issue.record("process \(daemon.pid) does not end by SIGTERM")
                daemon.end()
                continue
            }
            // SIGKILL is the tests' own; any other signal is a daemon that has crashed.
            #expect(status < 128 || status == 128 + SIGKILL, "a daemon ended with \(status)")
        }
        let ended = Waiting.until(seconds: Self.patience) { !below.contains(where: \.isRunning) }
        if !ended {
            Issue.record("processes are left: \(below.filter(\.isRunning).map(\.pid))")
            for process in below where process.isRunning { kill(process.pid, SIGKILL) }
        }
        TestFile.removeFolder(folder)
    }
}

/// Where this package is, whatever the working directory of the test is.
enum Package {
    static let root = #filePath.split(separator: "/", omittingEmptySubsequences: false)
        .dropLast(3).joined(separator: "/")
}

/// Folders that a test makes and removes again.
enum TestFolder {
    static func make(_ name: String) -> String {
        var template = Array("/tmp/bproc-\(name)-XXXXXX".utf8CString)
        let made = template.withUnsafeMutableBufferPointer { mkdtemp($0.baseAddress!) != nil }
        precondition(made, "no folder can be made in /tmp")
        let path = String(
            decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        // Slaves of other users reach their files in it.
        chmod(path, 0o755)
        return path
    }
}
