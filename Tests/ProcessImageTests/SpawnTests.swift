import CRestore
import Glibc
import ProcessImage
import System
import Testing

/// The way from the daemon's decision to the placed process, and every way it can end before that.
@Suite struct SpawnTests {
    private let restorer: OwnedDescriptorBox
    private let image: OwnedDescriptorBox

    /// Descriptors outlive the plan values that name them.
    final class OwnedDescriptorBox {
        let descriptor: OwnedDescriptor
        init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }
        var number: Int32 { descriptor.number }
    }

    init() throws {
        restorer = OwnedDescriptorBox(try Restorer.makeFile())
        let captured = try ProgramCapture.image(
            command: "/bin/sh", arguments: ["sh", "-c", "exit 7"], environment: [] as [String])
        image = OwnedDescriptorBox(try captured.descriptor.duplicate())
    }

    private func plan(_ change: (inout RestorePlan) -> Void = { _ in }) -> RestorePlan {
        var plan = RestorePlan(rank: 9, image: .descriptor(image.number))
        plan.standardError = 2
        change(&plan)
        return plan
    }

    /// What happens to a plan: the failure of the spawn, or the record and the wait status.
    private func run(
        _ plan: RestorePlan
    ) throws -> (failure: RestoreFailure?, record: RestoreRecord?, status: Int32) {
        var ends: [Int32] = [0, 0]
        precondition(pipe(&ends) == 0)
        defer { close(ends[0]) }
        var plan = plan
        plan.status = ends[1]
        let child: ChildProcess
        do {
            child = try plan.spawn(restorer: restorer.descriptor)
        } catch {
            close(ends[1])
            return (error, nil, 0)
        }
        close(ends[1])
        var bytes = [UInt8](repeating: 0, count: RestoreRecord.byteCount)
        let count = read(ends[0], &bytes, bytes.count)
        let record = count == bytes.count ? RestoreRecord(bytes.span.bytes) : nil
        // One record and the end: the program itself does not have the descriptor.
        let more = read(ends[0], &bytes, 1)
        let status = try child.wait()
        #expect(more == 0)
        return (nil, record, status)
    }

    @Test func aPlacedProcessSaysSo() throws {
        let result = try run(plan())
        #expect(result.record?.rank == 9)
        #expect(result.record != nil && result.record?.failure == nil)
        #expect(result.status == 7 << 8)
    }

    @Test func theImageCanBeOpenedByName() throws {
        let bytes = Workshop.bytes(of: image.number)
        _ = Workshop.write(bytes, to: "by-name.image", mode: 0o555)
        let directory = open(Workshop.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        defer { close(directory) }
        let good = try run(plan { $0.image = .file(name: "by-name.image", directory: directory) })
        #expect(good.status == 7 << 8 && good.record?.failure == nil)
        let bad = try run(plan { $0.image = .file(name: "missing", directory: directory) })
        #expect(bad.failure?.step == BP_STEP_IMAGE_FILE.rawValue)
        #expect(bad.failure?.errorNumber == ENOENT && bad.failure?.stage == 5)
    }

    @Test func failuresOnTheWay() throws {
        let noImage = try run(plan { $0.image = .descriptor(-1) })
        #expect(noImage.failure?.step == BP_STEP_IMAGE_FILE.rawValue)
        #expect(noImage.failure?.errorNumber == EBADF)
        let noOutput = try run(plan { $0.standardOutput = 987 })
        #expect(noOutput.failure?.step == BP_STEP_DESCRIPTORS.rawValue)
        let noDirectory = try run(
            plan {
                $0.directory = Array("/nothing/here".utf8)
                $0.fallsBackToRootDirectory = false
            })
        // Said by the restorer: who spawns must not wait for a directory of the user's.
        #expect(noDirectory.failure == nil)
        #expect(noDirectory.record?.failure?.step == BP_STEP_WORKING_DIRECTORY.rawValue)
        #expect(noDirectory.record?.failure?.errorNumber == ENOENT)
        #expect(noDirectory.record?.failure?.stage == 5)
        let fallsBack = try run(plan { $0.directory = Array("/nothing/here".utf8) })
        #expect(fallsBack.status == 7 << 8)
        let badLimit = try run(
            plan { $0.limits = [.init(resource: 99, soft: 0, hard: 0)] })
        #expect(badLimit.failure?.step == BP_STEP_LIMITS.rawValue)
    }

    @Test func aFailedSpawnLeavesNoChild() throws {
        // In a process of its own, where every child is the spawn's.
        let path = Workshop.write(
            Workshop.bytes(of: image.number), to: "no-child.image", mode: 0o555)
        let outcome = Workshop.run(
            [Workshop.tool, "restore", "--limit", "99", path])
        #expect(outcome.status == 122, "\(outcome)")
        #expect(outcome.output.contains("a resource limit could not be set"))
        #expect(!outcome.output.contains("left a child"))
    }

    @Test func aDescriptorThatIsNoImage() throws {
        let null = open("/dev/null", O_RDONLY | O_CLOEXEC)
        defer { close(null) }
        let result = try run(plan { $0.image = .descriptor(null) })
        #expect(result.record?.failure?.step == BP_STEP_READ_HEADER.rawValue)
        #expect(result.record?.failure?.stage == 3)
        #expect(result.status == Int32(100 + BP_STEP_READ_HEADER.rawValue) << 8)
        let other = open("/bin/ls", O_RDONLY | O_CLOEXEC)
        defer { close(other) }
        let wrong = try run(plan { $0.image = .descriptor(other) })
        #expect(wrong.record?.failure?.step == BP_STEP_CHECK_HEADER.rawValue)
    }

    @Test func anImageThatLostItsEnd() throws {
        let bytes = Workshop.bytes(of: image.number)
        let path = Workshop.write(Array(bytes.dropLast(4096)), to: "lost-end.image", mode: 0o555)
        let file = open(path, O_RDONLY | O_CLOEXEC)
        defer { close(file) }
        let result = try run(plan { $0.image = .descriptor(file) })
        #expect(result.record?.failure?.step == BP_STEP_SIZE.rawValue)
    }

    @Test func limitsAreTheProgramsOwn() throws {
        let captured = try ProgramCapture.image(
            command: "/bin/sh", arguments: ["sh", "-c", "test $(ulimit -n) = 123 && exit 3"],
            environment: ["PATH=/bin"] as [String])
        let result = try run(
            plan {
                $0.image = .descriptor(captured.descriptor.number)
                $0.limits = [.init(resource: 7, soft: 123, hard: 123)]  // RLIMIT_NOFILE
            })
        #expect(result.status == 3 << 8)
        // Too little memory to map what the image needs: a record, not a silent death.
        let tooSmall = try run(
            plan { $0.limits = [.init(resource: 9, soft: 1 << 20, hard: 1 << 20)] })
        #expect(tooSmall.record?.failure?.errorNumber == ENOMEM || tooSmall.failure != nil)
    }

    @Test(.enabled(if: Workshop.isRoot, "needs root, to become somebody else"))
    func credentials() throws {
        let captured = try ProgramCapture.image(
            command: "/bin/sh",
            arguments: [
                "sh", "-c",
                "test \"$(id -u) $(id -g) $(id -G) $(umask)\" = '1234 2345 2345 77 88 0027' "
                    + "&& exit 3",
            ], environment: ["PATH=/usr/bin:/bin"] as [String])
        let result = try run(
            plan {
                $0.image = .descriptor(captured.descriptor.number)
                $0.credentials = .init(user: 1234, group: 2345, groups: [77, 88])
                $0.umask = 0o027
            })
        #expect(result.status == 3 << 8)
    }

    /// As when the user executes a program himself: no more processes than the limit allows.
    @Test(.enabled(if: Workshop.isRoot, "needs root, to become somebody else"))
    func theLimitOnProcessesHolds() throws {
        for (limit, isRefused) in [(0, true), (1, false)] as [(UInt64, Bool)] {
            let result = try run(
                plan {
                    $0.credentials = .init(user: 54_321, group: 54_321, groups: [])
                    $0.limits = [.init(resource: 6, soft: limit, hard: limit)]  // RLIMIT_NPROC
                })
            if isRefused {
                #expect(result.record?.failure?.errorNumber == EAGAIN)
                #expect(result.record?.failure?.stage == 5)
            } else {
                #expect(result.record?.failure?.description == nil)
                #expect(result.status == 7 << 8)
            }
        }
    }

    @Test(.enabled(if: Workshop.isRoot, "needs root, to become somebody else"))
    func aProcessOfAnotherUserIsLeftAsAnExecWould() throws {
        let captured = try ProgramCapture.image(
            command: "/bin/sh",
            arguments: [
                "sh", "-c",
                // Its own /proc files are its own, limits are not raised, and no right is left.
                "test -O /proc/$$/environ && grep -q '^Max processes  *100  *100 ' /proc/$$/limits "
                    + "&& grep -q '^CapPrm:.0*$' /proc/self/status "
                    + "&& grep -q '^CapEff:.0*$' /proc/self/status && exit 3",
            ], environment: ["PATH=/usr/bin:/bin"] as [String])
        let result = try run(
            plan {
                $0.image = .descriptor(captured.descriptor.number)
                $0.credentials = .init(user: 54_322, group: 54_322, groups: [])
                $0.limits = [.init(resource: 6, soft: 100, hard: 100)]
            })
        #expect(result.status == 3 << 8)
    }

    /// It is asked for after the change of user, which would take it away.
    @Test(.enabled(if: Workshop.isRoot, "needs root, to become somebody else"))
    func theEndOfTheDaemonIsTheProcesss() throws {
        let captured = try ProgramCapture.image(
            command: "/bin/sleep", arguments: ["sleep", "1000"], environment: [] as [String])
        let bytes = Workshop.bytes(of: captured.descriptor.number)
        let path = Workshop.write(bytes, to: "sleeper.image", mode: 0o755)
        // The tool ends as soon as the process is placed, and tells its pid.
        let outcome = Workshop.run(
            [Workshop.tool, "restore", "--user", "54323", "--abandon", "1", path])
        let pid = try #require(Int32(outcome.output.filter(\.isNumber)), "\(outcome)")
        var attempts = 0
        while kill(pid, 0) == 0 && attempts < 1000 {
            usleep(10_000)
            attempts += 1
        }
        #expect(kill(pid, 0) != 0 && errno == ESRCH)
        _ = kill(pid, SIGKILL)
    }

    @Test(.enabled(if: Workshop.isRoot, "needs root, to lose it"))
    func aDaemonWithoutPrivilegeCannotGiveAnother() throws {
        let bytes = Workshop.bytes(of: image.number)
        let path = Workshop.write(bytes, to: "privilege.image", mode: 0o755)
        let root = Workshop.folder + "/privilege-root"
        mkdir(root, 0o755)
        // The tool itself as 65534, asked to make a process of user 1.
        let setpriv = try #require(Workshop.find("setpriv"))
        let outcome = Workshop.run(
            [setpriv, "--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]
                + [Workshop.tool, "restore", "--user", "1", path])
        if outcome.output.contains("imagetool:") {
            #expect(outcome.status == 122)
            #expect(outcome.output.contains("user, group or groups could not be set"))
            #expect(outcome.output.contains("Operation not permitted"))
        }
    }

    @Test func everyStepHasASentence() {
        for step in 1..<BP_STEP_COUNT.rawValue {
            let failure = RestoreFailure(stage: 5, step: step, errorNumber: EPERM)
            #expect(!failure.description.contains("step \(step) failed"))
            #expect(failure.description.hasSuffix("Operation not permitted"))
        }
    }
}
