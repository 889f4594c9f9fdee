import CSystem
import CTestSupport
import Ring
import System
import Testing

/// Serial: a test that forks copies the descriptors that others have open at that moment.
@Suite(.serialized) struct ChildAndLimitTests {
    @Test(arguments: Engine.available)
    func theEndOfAChildIsAnswered(_ engine: Engine) throws {
        var ring = try engine.ring()
        var stop: Int32 = -1
        let child = bptest_child(5, &stop)
        try #require(child > 0)
        let number = try check("open the child", bp_pidfd_open(Int32(child)))
        let pidfd = OwnedDescriptor(adopting: Int32(number))
        let tag = OperationTag(kind: 1, slot: 1)
        ring.poll(pidfd.number, for: .readable, tag: tag)
        #expect(try ring.completionsNow().isEmpty)
        close(stop)
        #expect(try ring.completion(of: tag).result == 1)
        #expect(try ChildExit.reap(pidfd: pidfd.number)?.waitStatus == 0x500)
    }

    @Test func signalsWakeTheRing() async {
        await #expect(processExitsWith: .exitCode(42)) {
            for engine in Engine.available {
                var ring = try engine.ring()
                let signals = OwnedDescriptor(
                    adopting: Int32(try check("signalfd", bp_signal_descriptor())))
                let tag = OperationTag(kind: 1, slot: 1)
                ring.poll(signals.number, for: .readable, tag: tag)
                guard try ring.completionsNow().isEmpty else { bp_exit(2) }
                bptest_raise(15)
                guard try ring.completion(of: tag).result == 1, bp_next_signal(signals.number) == 15
                else { bp_exit(1) }
            }
            bp_exit(42)
        }
    }

    /// A real seccomp filter, in a process of its own because there is no way back from one.
    @Test func runsOnEpollUnderASeccompFilter() async {
        await #expect(processExitsWith: .exitCode(42)) {
            guard bptest_forbid_io_uring() == 0 else { bp_exit(3) }
            try useEpoll(becauseOf: "seccomp")
            bp_exit(42)
        }
    }

    /// An ordinary user's rings count against RLIMIT_MEMLOCK.
    @Test(.enabled(if: Engine.available.contains(.uring), "io_uring is refused here"))
    func noLockedMemoryMeansEpoll() async {
        await #expect(processExitsWith: .exitCode(42)) {
            if bp_effective_user() == 0 { try check("become nobody", bptest_become_nobody()) }
            try check("limit", bptest_limit_locked_memory(0))
            try useEpoll(becauseOf: "locked memory")
            bp_exit(42)
        }
    }
}

/// A ring that falls back, says why, and works.
private func useEpoll(becauseOf word: String) throws {
    var ring = try Ring(entries: 64)
    guard case .epoll(let reason) = ring.backEnd, reason.contains(word) else { bp_exit(5) }
    let pipe = try Pipe()
    let tag = OperationTag(kind: 1, slot: 2)
    ring.poll(pipe.writing.number, for: .writable, tag: tag)
    guard try ring.completion(of: tag).result == 4 else { bp_exit(6) }
}
