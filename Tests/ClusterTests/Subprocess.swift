import Glibc
import Testing

/// A child of the test: started with posix_spawn, fed, read and always reaped.
///
/// Nothing here waits without a limit: a child that outlives its limit is killed, and the test that
/// started it fails with its output at hand.
final class Subprocess {
    struct Outcome {
        /// As a shell reports it: 128 and the signal for a process that was killed.
        var status: Int32
        var output: [UInt8]
        var errors: [UInt8]
        /// The child had to be killed because its time was over.
        var isOverdue = false

        var text: String { String(decoding: output, as: UTF8.self) }
        var errorText: String { String(decoding: errors, as: UTF8.self) }
        /// The lines of standard output in an order that does not depend on the ranks' race.
        var sortedLines: [String] { text.split(separator: "\n").map(String.init).sorted() }
    }

    struct StartError: Error, CustomStringConvertible {
        var program: String
        var number: Int32
        var description: String { "\(program): \(String(cString: strerror(number)))" }
    }

    let pid: pid_t
    private(set) var status: Int32?

    /// Starts a program in a session of its own, so that a signal to the test does not reach it and
    /// it can be told apart by its session.
    /// - Parameter descriptors: what becomes 0, 1 and 2 of the child; all others here are
    ///   close-on-exec.
    /// - Parameter terminal: becomes all three, and the terminal of the session.
    init(
        _ program: String, _ arguments: [String], environment: [String: String],
        descriptors: [Int32], terminal: String? = nil
    ) throws(StartError) {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for (target, descriptor) in descriptors.enumerated() {
            posix_spawn_file_actions_adddup2(&actions, descriptor, Int32(target))
        }
        if let terminal {
            posix_spawn_file_actions_addopen(&actions, 0, terminal, O_RDWR, 0)
            for target: Int32 in 1...2 { posix_spawn_file_actions_adddup2(&actions, 0, target) }
        }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        let newSession: Int32 = 0x80  // POSIX_SPAWN_SETSID, which the Glibc module hides
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | newSession))
        let words = ([program] + arguments).map { strdup($0) }
        let variables = environment.map { strdup("\($0.key)=\($0.value)") }
        defer { (words + variables).forEach { free($0) } }
        var child: pid_t = 0
        let error = posix_spawn(
            &child, program, &actions, &attributes, words + [nil], variables + [nil])
        guard error == 0 else { throw StartError(program: program, number: error) }
        pid = child
    }

    deinit {
        // A test that throws on its way leaves no process either.
        if status == nil { end() }
    }

    /// Takes the status if the child has ended.
    @discardableResult
    func poll() -> Int32? {
        if let status { return status }
        var raw: Int32 = 0
        guard waitpid(pid, &raw, WNOHANG) == pid else { return nil }
        status = raw & 0x7f == 0 ? raw >> 8 & 0xff : 128 + (raw & 0x7f)
        return status
    }

    /// Waits for the end, but not for ever.
    func wait(seconds: Int) -> Int32? {
        Waiting.until(seconds: seconds) { poll() != nil }
        return status
    }

    func signal(_ number: Int32) {
        // The pid is the child's own until it is reaped.
        if status == nil { kill(pid, number) }
    }

    /// Kills and reaps.
    func end() {
        guard poll() == nil else { return }
        kill(pid, SIGKILL)
        var raw: Int32 = 0
        while waitpid(pid, &raw, 0) < 0 && errno == EINTR {}
        status = 128 + SIGKILL
    }
}

/// Waiting for a condition. The limit only ends a test that would hang; no test measures time.
enum Waiting {
    @discardableResult
    static func until(seconds: Int, _ condition: () -> Bool) -> Bool {
        let end = now() + UInt64(seconds) * 1_000_000_000
        while !condition() {
            guard now() < end else { return false }
            usleep(10_000)
        }
        return true
    }

    static func now() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}
