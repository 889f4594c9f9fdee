import Glibc

/// Where the tests keep what they make: a folder beside the test program, and the compilers to fill
/// it.
enum Workshop {
    /// The build folder, found by where this very program lies.
    static let buildFolder: String = {
        var bytes = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &bytes, bytes.count - 1)
        let path = String(
            decoding: bytes.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return path.split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 }
    }()

    static let folder: String = {
        let path = buildFolder + "/image-test-programs"
        mkdir(path, 0o755)
        mkdir(path + "/empty", 0o755)
        return path
    }()

    static let emptyRoot = folder + "/empty"
    static let tool = buildFolder + "/imagetool"
    static let imageCommand = buildFolder + "/bpimage"
    static let hasImageCommand = access(imageCommand, X_OK) == 0

    static let sources: String = {
        let folders = #filePath.split(separator: "/").dropLast(2)
        return folders.reduce("") { $0 + "/" + $1 } + "/Programs"
    }()

    static var isRoot: Bool { geteuid() == 0 }

    /// Compiles one of Tests/Programs. nil if the compiler is not here; a failing compilation is an
    /// error.
    static func compile(_ name: String, _ command: [String]) -> String? {
        guard let compiler = find(command[0]) else { return nil }
        let output = folder + "/" + name
        let outcome = run([compiler] + command.dropFirst() + ["-o", output])
        precondition(outcome.status == 0, "\(command): \(outcome.output)")
        return output
    }

    /// A program on PATH.
    static func find(_ name: String) -> String? {
        let path = getenv("PATH").map { String(cString: $0) } ?? "/bin:/usr/bin"
        return path.split(separator: ":").map { "\($0)/\(name)" }.first { access($0, X_OK) == 0 }
    }

    struct Outcome: Equatable {
        /// The exit status, or 128 + the signal.
        let status: Int32
        /// What came on descriptors 1 and 2.
        let output: String
    }

    static let environment = [
        "PATH=/usr/local/bin:/usr/bin:/bin", "BPROC_TEST=a value = with signs",
        "BPROC_RANK=XXXXXXX", "LC_ALL=C",
    ]

    /// Starts a program with descriptors 0 to 2 and those in `keeping` only. Answers its number.
    static func start(
        _ command: [String], environment extra: [String] = [], output: Int32, keeping: Int32? = nil
    ) -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, output, 1)
        posix_spawn_file_actions_adddup2(&actions, output, 2)
        if let keeping { posix_spawn_file_actions_adddup2(&actions, keeping, 3) }
        // Whatever the test runner has open stays here.
        for descriptor in Int32(3)..<1024 where fcntl(descriptor, F_GETFD) >= 0 {
            _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        }
        // The runner's threads block signals; a program's own state is what is tested here.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETSIGMASK) | Int16(POSIX_SPAWN_SETSIGDEF))
        var list = command.map { strdup($0) } + [nil]
        var variables = (compilerEnvironment + environment + extra).map { strdup($0) } + [nil]
        defer { (list + variables).forEach { free($0) } }
        var pid: pid_t = 0
        var result: Int32 = 0
        // A child that another test has just started may hold a writing descriptor of this file
        // until it executes.
        for _ in 0..<10_000 {
            result = posix_spawn(&pid, command[0], &actions, &attributes, &list, &variables)
            guard result == ETXTBSY else { break }
            usleep(1000)
        }
        precondition(result == 0, "\(command): \(String(cString: strerror(result)))")
        return pid
    }

    /// swiftc wants to know where home is.
    private static let compilerEnvironment =
        getenv("HOME").map { ["HOME=" + String(cString: $0)] } ?? []

    static func run(_ command: [String], environment: [String] = []) -> Outcome {
        var ends: [Int32] = [0, 0]
        precondition(pipe2(&ends) == 0)
        let pid = start(command, environment: environment, output: ends[1])
        close(ends[1])
        var output: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = read(ends[0], &piece, piece.count)
            if count <= 0 { break }
            output += piece[..<count]
        }
        close(ends[0])
        return Outcome(status: wait(pid), output: String(decoding: output, as: UTF8.self))
    }

    static func wait(_ pid: pid_t) -> Int32 {
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0 && errno == EINTR {}
        return status & 0x7f == 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f)
    }

    private static func pipe2(_ ends: inout [Int32]) -> Int32 {
        let result = pipe(&ends)
        // Other tests start programs at the same time.
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        return result
    }

    static func write(_ bytes: [UInt8], to name: String, mode: mode_t = 0o644) -> String {
        let path = folder + "/" + name
        unlink(path)
        let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)
        precondition(file >= 0 && Glibc.write(file, bytes, bytes.count) == bytes.count)
        fchmod(file, mode)
        close(file)
        if mode & 0o111 != 0 { waitUntilExecutable(path) }
        return path
    }

    /// Another test's child may hold our writing descriptor until it executes, and exec refuses a
    /// file that is open for writing; so does a read lease.
    static func waitUntilExecutable(_ path: String) {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        defer { close(file) }
        let setLease: Int32 = 1024  // F_SETLEASE
        for _ in 0..<5000 {
            if fcntl(file, setLease, F_RDLCK) == 0 || errno != EAGAIN { break }
            usleep(1000)
        }
        _ = fcntl(file, setLease, F_UNLCK)
    }

    static func bytes(of path: String) -> [UInt8] {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        precondition(file >= 0, path)
        defer { close(file) }
        return bytes(of: file)
    }

    static func bytes(of descriptor: Int32) -> [UInt8] {
        var status = stat()
        fstat(descriptor, &status)
        var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeMutableBytes {
                pread(descriptor, $0.baseAddress! + done, $0.count - done, off_t(done))
            }
            if count <= 0 { break }
            done += count
        }
        return bytes
    }
}
