import CLocalProtocol
import Glibc
import ProcessImage
import System
import Testing

@Suite struct CaptureTests {
    /// The error that taking an image of a command gives.
    private func error(_ command: String, _ environment: [String] = []) -> CaptureError? {
        do {
            _ = try ProgramCapture.image(
                command: command, arguments: [command], environment: environment)
            return nil
        } catch {
            return error
        }
    }

    @Test func whatIsNotAProgramIsRefused() {
        #expect(
            error("/nothing/here") == .cannotOpen(command: "/nothing/here", errorNumber: ENOENT))
        #expect(error("/tmp") == .isDirectory(command: "/tmp"))
        let plain = Workshop.write(Array("text".utf8), to: "plain", mode: 0o644)
        #expect(error(plain) == .notExecutable(command: plain, errorNumber: EACCES))
        let text = Workshop.write(Array("text".utf8), to: "text", mode: 0o755)
        #expect(error(text) == .cannotExecute(command: text, errorNumber: ENOEXEC))
        let setID = Workshop.write(Workshop.bytes(of: "/bin/true"), to: "set-id", mode: 0o4755)
        #expect(error(setID) == .hasSpecialRights(command: setID))
        var other = Array(Workshop.bytes(of: "/bin/true")[..<4096])
        other[18] = 183  // EM_AARCH64
        let foreign = Workshop.write(other, to: "foreign", mode: 0o755)
        #expect(error(foreign) == .notX8664(command: foreign))
        for (text, name) in [
            ("#!\nx", "none"), ("#!/" + String(repeating: "x", count: 300), "long"),
        ] {
            let script = Workshop.write(Array(text.utf8), to: "script-" + name, mode: 0o755)
            guard case .script = error(script) else {
                Issue.record("\(name)")
                continue
            }
        }
        let orphan = Workshop.write(Array("#!/nothing/here\n".utf8), to: "orphan", mode: 0o755)
        #expect(error(orphan) == .cannotOpen(command: "/nothing/here", errorNumber: ENOENT))
    }

    @Test func errorsHaveNumbersAndSentences() {
        #expect(error("/nothing/here")?.errorNumber == ENOENT)
        #expect(error("/tmp")?.errorNumber == EISDIR)
        #expect(error("/nothing/here")?.description == "/nothing/here: No such file or directory")
    }

    @Test(.enabled(if: Workshop.isRoot, "needs root, to be another user"))
    func anUnreadableCommandIsRefused() {
        let secret = Workshop.write(Workshop.bytes(of: "/bin/true"), to: "unreadable", mode: 0o711)
        let image = "/dev/null"
        let outcome = Workshop.run(
            [Workshop.find("setpriv") ?? "/usr/bin/setpriv", "--reuid", "65534", "--clear-groups"]
                + ["--", Workshop.tool, "capture", image, secret])
        // Where the build folder itself is closed to that user the tool cannot even start.
        if outcome.output.contains("imagetool") || outcome.status == 124 {
            #expect(outcome.output.contains("Permission denied"))
        }
    }

    /// Many times: who is told of the end of which thread first is a matter of luck.
    @Test func aConstructorWithThreadsOrChildrenIsRefused() throws {
        for library in [Programs.threads, Programs.forks].compactMap(\.self) {
            for _ in 0..<20 {
                #expect(
                    error("/bin/ls", ["LD_PRELOAD=" + library])
                        == .notSingleThreaded(command: "/bin/ls"))
            }
        }
    }

    @Test func aProgramThatEndsInItsLinkerSaysSo() throws {
        let value = error("/bin/ls", ["LD_PRELOAD=", "LD_BIND_NOW=1", "LD_TRACE_LOADED_OBJECTS=1"])
        #expect(value == .endedEarly(command: "/bin/ls", status: 0))
    }

    @Test func twoMegabytesOfArguments() throws {
        let large = (0..<20).map { "V\($0)=" + String(repeating: "y", count: 100_000) }
        let image = try ProgramCapture.image(
            command: "/bin/ls", arguments: ["ls"], environment: large)
        #expect(image.prefixByteCount > 2_000_000)
        let bytes = ImageBytes(bytes: Workshop.bytes(of: image.descriptor.number))
        try bytes.parse()
        let tooLarge = (0..<100).map { "V\($0)=" + String(repeating: "y", count: 100_000) }
        #expect(
            error("/bin/ls", tooLarge) == .cannotExecute(command: "/bin/ls", errorNumber: E2BIG))
    }

    @Test func anImageIsSealed() throws {
        let image = try ProgramCapture.image(
            command: "/bin/ls", arguments: ["ls"], environment: [] as [String])
        let number = image.descriptor.number
        var byte: UInt8 = 0
        #expect(pwrite(number, &byte, 1, 0) == -1 && errno == EPERM)
        #expect(ftruncate(number, 0) == -1 && errno == EPERM)
        var status = stat()
        fstat(number, &status)
        #expect(status.st_mode & 0o7777 == 0o555)
        #expect(Int(status.st_size) == image.byteCount)
    }

    @Test func nothingIsLeftBehind() throws {
        // A name that no other test's programs have, which run at the same time.
        let program = Workshop.write(Workshop.bytes(of: "/bin/ls"), to: "bp-leftover", mode: 0o755)
        for _ in 0..<5 {
            _ = try ProgramCapture.image(
                command: program, arguments: ["ls"], environment: [] as [String])
        }
        #expect(children().filter { comm($0) == "bp-leftover" }.isEmpty)
    }

    /// Numbers of this process's children.
    private func children() -> Set<String> {
        var found: Set<String> = []
        guard let directory = opendir("/proc") else { return [] }
        defer { closedir(directory) }
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            guard Int(name) != nil else { continue }
            let stat = text("/proc/\(name)/stat")
            let words = stat.split(separator: ")").last?.split(separator: " ") ?? []
            if words.count > 1 && words[1] == "\(getpid())" { found.insert(name) }
        }
        return found
    }

    private func comm(_ pid: String) -> String {
        text("/proc/\(pid)/comm").split(separator: "\n").first.map(String.init) ?? ""
    }

    private func text(_ path: String) -> String {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return "" }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = read(file, &bytes, bytes.count)
        return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
    }
}
