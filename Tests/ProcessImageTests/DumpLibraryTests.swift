import CRestore
import Glibc
import Testing

/// bproc_execdump and bproc_undump in programs of their own, with no daemon anywhere.
@Suite(.enabled(if: Programs.dumps != nil, "no C compiler on PATH"))
struct DumpLibraryTests {
    private let program = Programs.dumps ?? ""
    private let helper = "BPROC_HELPER=" + Workshop.tool
    /// No daemon of this machine is to be asked.
    private let nobody = "BPROC_SOCKET=/nothing/here"

    private func run(_ arguments: [String], environment: [String]? = nil) -> Workshop.Outcome {
        Workshop.run([program] + arguments, environment: environment ?? [helper, nobody])
    }

    private func shell(_ line: String) -> Workshop.Outcome {
        Workshop.run(["/bin/sh", "-c", line, program], environment: [helper, nobody])
    }

    /// The image of a shell that says something and ends with a status.
    private func image(_ name: String, _ line: String) -> String {
        let path = Workshop.folder + "/" + name
        unlink(path)
        let outcome = run(["execdump", path, "/bin/sh", "-c", line])
        #expect(outcome.status == 0, "\(outcome)")
        return path
    }

    @Test func execdumpMakesAFileThatRuns() {
        let path = image("execdump.image", "echo it runs $BPROC_TEST; exit 4")
        let outcome = Workshop.run([path])
        #expect(outcome.output == "it runs a value = with signs\n")
        #expect(outcome.status == 4)
    }

    @Test func undumpFromAFile() {
        let path = image("undump.image", "echo from a file; exit 5")
        let outcome = run(["undump", path])
        #expect(outcome.output == "from a file\n")
        #expect(outcome.status == 5)
        // Reading is enough: the file need not be executable, and not even keep its name.
        chmod(path, 0o400)
        let reader = shell("exec <\(path); rm \(path); exec \"$0\" undump -")
        #expect(reader.output == "from a file\n" && reader.status == 5)
    }

    @Test func throughAPipe() {
        let outcome = shell("\"$0\" execdump - /bin/sh -c 'echo piped; exit 6' | \"$0\" undump -")
        #expect(outcome.output == "piped\n")
        #expect(outcome.status == 6)
    }

    @Test func severalInOneStream() {
        let line =
            "(for i in 1 2 3; do \"$0\" execdump - /bin/sh -c \"exit 1$i\"; done; echo behind)"
        let piped = shell(line + " | \"$0\" stream 3")
        #expect(piped.output == "status 11\nstatus 12\nstatus 13\nrest behind\n\n")
        let file = Workshop.folder + "/stream"
        let filed = shell(line + " >\(file); exec \"$0\" stream 3 <\(file)")
        #expect(filed.output == piped.output)
    }

    /// Written in small pieces, to a reader whose descriptor does not wait by itself.
    @Test func throughASocketOfASlowSender() throws {
        let bytes = Workshop.bytes(of: image("socket.image", "echo by socket; exit 7"))
        let path = Workshop.write(bytes, to: "socket.bytes")
        let outcome = run(["slow", path])
        #expect(outcome.output == "by socket\nstatus 7\n")
        #expect(outcome.status == 0)
    }

    /// Images of processes that came back from an image, run by hand, and of an image's own file.
    @Test func dumpsOfDumps() {
        let path = Workshop.folder + "/again.image"
        #expect(run(["again", path]) == Workshop.Outcome(status: 0, output: ""))
        for (number, output) in [
            (0, "resumed at 0, time 1\nend\n"), (1, "resumed at 1, time 2\nend\n"),
            (2, "resumed at 2, time 3\nend\n"),
        ] {
            // Running one writes the next, in the environment that the image has brought along.
            let outcome = Workshop.run(["\(path).\(number)"])
            #expect(outcome == Workshop.Outcome(status: 5, output: output), "\(number)")
        }
        let inner = image("inner.image", "echo inner; exit 6")
        let outer = Workshop.folder + "/outer.image"
        #expect(run(["execdump", outer, inner]).status == 0)
        #expect(Workshop.run([outer]) == Workshop.Outcome(status: 6, output: "inner\n"))
    }

    /// A sealed memory file, as the capture gives one, is executed as it is.
    @Test func aSealedImageIsNotCopied() {
        let outcome = run(["sealed", "/bin/sh", "-c", "echo sealed; exit 8"])
        #expect(outcome.output == "sealed\n")
        #expect(outcome.status == 8)
    }

    /// Each refusal has its errno and its sentence, and leaves the caller as it was.
    @Test func badImagesAreRefused() throws {
        let original = ImageBytes.original
        let cases: [(String, [UInt8], Int32, String)] = [
            ("empty", [], EINVAL, "no image: the stream has ended"),
            ("few", [1, 2, 3], EINVAL, "3 bytes are too few"),
            (
                "text", Array(repeating: 65, count: 9000), EINVAL,
                "magic number is 0x4141414141414141"
            ),
            ("header", Array(original.bytes[..<2000]), EINVAL, "cut short: 2000 of its "),
            ("prefix", Array(original.bytes[..<9000]), EINVAL, "cut short: 9000 of its "),
            ("data", Array(original.bytes.dropLast()), EINVAL, "cut short: "),
            ("code", flipped(5000), EBADMSG, "header and tables do not fit their checksum"),
            ("table", flipped(Int(original.header.code_byte_count) + 9), EBADMSG, "and tables do"),
            ("block", flipped(original.bytes.count - 9), EBADMSG, "does not fit its checksum"),
            ("newer", original.changedHeader { $0.version = 9 }.bytes, ENOEXEC, "format version 9"),
            (
                "cpu", original.changedHeader { $0.features.7 = 1 }.bytes, ENOEXEC,
                "the CPU lacks features"
            ),
            (
                "huge", original.changedHeader { $0.total_byte_count = 1 << 50 }.bytes, EBADMSG,
                "total byte count is \(1 << 50)"
            ),
            (
                "long", original.changedHeader { $0.prefix_byte_count = 1 << 40 }.bytes, EBADMSG,
                "prefix byte count is \(1 << 40)"
            ),
        ]
        for (name, bytes, number, sentence) in cases {
            let path = Workshop.write(bytes, to: "bad-\(name).bytes")
            for way in ["<\(path)", "</dev/null | cat \(path) |"] {
                let line =
                    way.hasPrefix("<\(path)")
                    ? "exec \"$0\" untouched - <\(path)" : "cat \(path) | \"$0\" untouched -"
                let outcome = shell(line)
                #expect(outcome.status == 9, "\(name): \(outcome)")
                #expect(outcome.output.hasPrefix("undump: \(number): "), "\(name): \(outcome)")
                let isWordedAlike = outcome.output.contains(sentence)
                // A pipe says what is missing only when it ends.
                #expect(isWordedAlike, "\(name): \(outcome)")
            }
        }
        #expect(run(["untouched", "/"]).output.hasPrefix("undump: \(EISDIR): "))
        #expect(shell("exec \"$0\" untouched - <&-").output.hasPrefix("undump: \(EBADF): "))
    }

    private func flipped(_ place: Int) -> [UInt8] {
        var bytes = ImageBytes.original.bytes
        bytes[place] ^= 4
        return bytes
    }

    @Test func withoutMemoryTheCallerGoesOn() {
        let path = image("no-memory.image", "exit 3")
        let outcome = run(["squeezed", path])
        #expect(outcome.output.hasPrefix("undump: \(ENOMEM): "), "\(outcome)")
        let limited = shell("ulimit -f 100; trap '' XFSZ; exec \"$0\" untouched \(path)")
        #expect(limited.output.hasPrefix("undump: \(EFBIG): "), "\(limited)")
    }

    @Test func execdumpRefusals() {
        let missing = run(["execdump", "/dev/null", "/nothing/here"])
        #expect(missing.output.hasPrefix("execdump: \(ENOENT): "), "\(missing)")
        #expect(missing.status == 9)
        let full = run(["execdump", "/dev/full", "/bin/true"])
        #expect(full.output.hasPrefix("execdump: \(ENOSPC): the image was cut after 0 of "))
        let closed = shell("exec \"$0\" execdump - /bin/true >&-")
        #expect(closed.status == 9)
    }

    /// Without a daemon the helper is the installed one, or the one that BPROC_HELPER names.
    @Test func withoutAHelperTheErrorSaysWhatIsMissing() {
        let path = Workshop.folder + "/no-helper.image"
        let named = run(
            ["execdump", path, "/bin/true"], environment: ["BPROC_HELPER=/nothing/here", nobody])
        #expect(
            named.output
                == "execdump: \(ENOENT): capture helper /nothing/here: No such file or directory\n")
        guard access("/usr/local/sbin/bpmaster", X_OK) != 0 else { return }
        let none = run(["execdump", path, "/bin/true"], environment: [nobody])
        #expect(none.output.hasPrefix("execdump: \(EBUSY): "), "\(none)")
    }
}
