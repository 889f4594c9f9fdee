import CRestore
import Glibc
import ProcessImage
import System
import Testing

/// An image as a file that somebody runs: it finds itself, checks itself, and says what is wrong.
@Suite struct DumpFileTests {
    private let original = ImageBytes.original

    private func write(_ image: ImageBytes, _ name: String, mode: mode_t = 0o755) -> String {
        Workshop.write(image.bytes, to: name, mode: mode)
    }

    private func status(_ step: bp_restore_step) -> Int32 { 100 + Int32(step.rawValue) }

    /// Runs a shell line, with the image's path as $0.
    private func shell(_ line: String, _ image: String) -> Workshop.Outcome {
        Workshop.run(["/bin/sh", "-c", line, image])
    }

    /// An image of a shell script line, to be asked in many ways.
    private func image(_ line: String, _ name: String) throws -> String {
        let captured = try ProgramCapture.image(
            command: "/bin/sh", arguments: ["sh", "-c", line], environment: Workshop.environment)
        return Workshop.write(
            Workshop.bytes(of: captured.descriptor.number), to: name, mode: 0o755)
    }

    /// The image of the program that looks at itself, taken in a process with default signals.
    private func inside(_ program: String?, _ name: String) throws -> String {
        let path = Workshop.folder + "/" + name
        let outcome = Workshop.run(
            [Workshop.tool, "capture", path, try #require(program), "one", "two words", ""])
        #expect(outcome.status == 0, "\(outcome.output)")
        return path
    }

    @Test func runsByEveryName() throws {
        let path = try image("echo here; exit 3", "name.image")
        let name = "name.image"
        for line in [
            "$0", "cd \(Workshop.folder) && ./\(name)", "PATH=\(Workshop.folder) && \(name)",
            "ln -sf $0 $0.link && $0.link",
        ] {
            let outcome = shell(line, path)
            #expect(outcome.output == "here\n" && outcome.status == 3, "\(line)")
        }
    }

    /// The tool gives exec a name that the exec itself ends: /proc/self/fd/N of a descriptor that
    /// closes.
    @Test func aNameThatIsGoneDoesNotMatter() throws {
        let path = try image("echo here; exit 3", "own.image")
        let outcome = Workshop.run([Workshop.tool, "exec", "--by-link", "yes", path])
        #expect(outcome.output == "here\n")
        #expect(outcome.status == 3)
    }

    @Test(.enabled(if: Workshop.isRoot, "needs root, for a root directory without /proc"))
    func aDescriptorIsEnoughWithoutProc() throws {
        // The tool gives exec a descriptor; nothing of the image has a name in the empty root.
        let path = try inside(Programs.insideStatic, "descriptor.image")
        let outcome = Workshop.run(
            [Workshop.tool, "exec", "--by-descriptor", "yes", "--chroot", Workshop.emptyRoot, path])
        #expect(outcome.output == "inside: all well\n")
        #expect(outcome.status == 42)
    }

    @Test func cutShortAnywhere() throws {
        let header = original.header
        let code = Int(header.code_byte_count)
        let prefix = Int(header.prefix_byte_count)
        // Without its last program header exec itself refuses the file.
        for count in [1, 63, 64, 300, 1000, 4096, 5000, code - 168, code - 1] {
            let outcome = shell("exec \"$0\"", cut(count))
            #expect(outcome.status == 126 || outcome.status == 2, "\(count): \(outcome)")
        }
        for count in [code, code + 1, prefix - 1, prefix, prefix + 1, original.bytes.count - 1] {
            let outcome = Workshop.run([cut(count)])
            #expect(outcome.status == status(BP_STEP_SIZE), "\(count): \(outcome)")
            #expect(outcome.output.contains("the image is cut short: its header promises "))
        }
    }

    private func cut(_ count: Int) -> String {
        Workshop.write(Array(original.bytes[..<count]), to: "cut-\(count).image", mode: 0o755)
    }

    @Test func everyFlippedByteOfHeaderTablesAndDataIsFound() throws {
        let header = original.header
        var generator = Generator(state: 7)
        let headerEnd = ImageBytes.headerOffset + MemoryLayout<bp_image_header>.size
        let tables = Int(header.code_byte_count)..<Int(header.prefix_byte_count)
        let data = Int(header.prefix_byte_count)..<original.bytes.count
        let places =
            Array(stride(from: ImageBytes.headerOffset, to: headerEnd, by: 8))
            + (0..<20).map { _ in Int.random(in: tables, using: &generator) }
            + (0..<20).map { _ in Int.random(in: data, using: &generator) }
            + [original.bytes.count - 1]
        for place in places {
            var damaged = original
            damaged.bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
            let outcome = Workshop.run([write(damaged, "flipped.image")])
            let step = data.contains(place) ? BP_STEP_DATA_CHECKSUM : BP_STEP_PREFIX_CHECKSUM
            #expect(outcome.status == status(step), "\(place): \(outcome)")
            #expect(outcome.output.contains("not restored: the image is damaged"))
        }
    }

    @Test func aNewerVersion() throws {
        let newer = original.changedHeader { $0.version = 2 }
        let outcome = Workshop.run([write(newer, "newer.image")])
        #expect(outcome.status == status(BP_STEP_VERSION))
        #expect(outcome.output.contains("the image has format version 2"))
    }

    @Test func aMissingFeatureIsNamed() throws {
        // A name for every feature, and a number for what has none.
        let words: [(Int, UInt32, String)] = [
            (3, ~CPUFeatures.local.words.3 & (1 << 22 | 1 << 25), "amx_bf16, amx_int8"),
            (7, 1 << 4, "0x700000010"),
        ]
        for (word, bits, names) in words where bits.nonzeroBitCount == (word == 3 ? 2 : 1) {
            let lacking = original.changedHeader {
                if word == 3 { $0.features.3 = bits } else { $0.features.7 = bits }
            }
            let outcome = Workshop.run([write(lacking, "lacking-\(word).image")])
            #expect(outcome.status == status(BP_STEP_CPU))
            #expect(outcome.output.contains("the CPU lacks \(names): "))
        }
    }

    @Test func tooLittleMemory() throws {
        let path = try image("exit 3", "little-memory.image")
        var seen: Set<Int32> = []
        for kibibytes in [1000, 2000, 3000, 4000, 5000] {
            let outcome = shell("ulimit -v \(kibibytes); exec \"$0\"", path)
            seen.insert(outcome.status)
            let isTold = outcome.output.contains("out of memory")
            #expect(isTold || outcome.status == 3 || outcome.status == 126, "\(outcome)")
        }
        #expect(seen.count > 1)
    }

    /// An image is a program like any other: who may execute and read it runs it, with his own
    /// rights; it never lends those of its owner.
    @Test(.enabled(if: Workshop.isRoot, "needs root, to be two users"))
    func anotherUsersImage() throws {
        // Under /tmp, which any user may enter.
        let folder = "/tmp/bproc-dump-file-test-\(getpid())"
        mkdir(folder, 0o755)
        defer {
            unlink(folder + "/image")
            rmdir(folder)
        }
        let captured = try ProgramCapture.image(
            command: "/bin/sh", arguments: ["sh", "-c", "id -u"], environment: Workshop.environment)
        let bytes = Workshop.bytes(of: captured.descriptor.number)
        let setpriv = try #require(Workshop.find("setpriv"))
        func run(mode: mode_t) -> Workshop.Outcome {
            let file = open(folder + "/image", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o700)
            precondition(
                Glibc.write(file, bytes, bytes.count) == bytes.count && fchmod(file, mode) == 0)
            close(file)
            Workshop.waitUntilExecutable(folder + "/image")
            return Workshop.run(
                [setpriv, "--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]
                    + ["/bin/sh", "-c", "exec \(folder)/image"])
        }
        #expect(run(mode: 0o755).output == "65534\n")
        let setID = run(mode: 0o4755)
        #expect(setID.status == status(BP_STEP_SET_ID))
        #expect(setID.output.contains("does not run with set-user-id"))
        let unreadable = run(mode: 0o711)
        #expect(unreadable.status == status(BP_STEP_IMAGE_FILE))
        #expect(unreadable.output.contains("could not be opened: permission denied"))
        let closed = run(mode: 0o700)
        #expect(closed.status == 126 || closed.status == 2)
        #expect(closed.output.contains("ermission denied"))
    }

    /// The kernel lays memory out bottom-up where the stack has no limit.
    @Test(arguments: [false, true], [false, true])
    func unlimitedStack(whenCaptured: Bool, whenRun: Bool) throws {
        let program = try #require(Programs.insideDynamic)
        let limit = "ulimit -s unlimited && "
        for (command, argument) in [
            ("exec $0", ""), ("exec \(Workshop.tool) restore $0", "rank=0000000"),
        ] {
            let path =
                Workshop.folder + "/unlimited-\(whenCaptured)-\(whenRun)\(argument).image"
            let captured = shell(
                (whenCaptured ? limit : "")
                    + "\(Workshop.tool) capture $0 \(program) one 'two words' '' \(argument)", path)
            #expect(captured.status == 0, "\(captured.output)")
            let outcome = shell((whenRun ? limit : "") + command, path)
            #expect(outcome.output == "inside: all well\n")
            #expect(outcome.status == 42)
        }
    }

    @Test func threeHundredInARowUnderRandomLayout() throws {
        let path = try inside(Programs.insideStatic, "row.image")
        let outcome = shell(
            "i=0; while [ $i -lt 300 ]; do \"$0\" || [ $? = 42 ] || exit 1; i=$((i+1)); done", path)
        #expect(outcome.status == 0)
        #expect(outcome.output == String(repeating: "inside: all well\n", count: 300))
    }
}
