import Foundation
import Testing

/// The command bpimage, as a user runs it.
@Suite(.enabled(if: Workshop.hasImageCommand, "bpimage is not built in .build/release"))
struct ImageCommandTests {
    private func run(_ arguments: [String]) -> Workshop.Outcome {
        Workshop.run([Workshop.imageCommand] + arguments)
    }

    private func object(_ arguments: [String]) throws -> [String: Any] {
        let text = run(["--json"] + arguments).output
        return try #require(
            try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    }

    private func dump(_ name: String, _ options: [String] = []) -> String {
        let path = Workshop.folder + "/" + name
        let outcome = run(["dump", "-o", path] + options + ["sh", "-c", "echo dumped; exit 3"])
        #expect(outcome.status == 0 && outcome.output == "", "\(outcome)")
        return path
    }

    @Test func dumpsWhatRuns() {
        let path = dump("command.image")
        let outcome = Workshop.run([path])
        #expect(outcome.output == "dumped\n" && outcome.status == 3)
        let piped = Workshop.run(
            [
                "/bin/sh", "-c", "\"$0\" dump echo piped >\(path) && exec \(path)",
                Workshop.imageCommand,
            ])
        #expect(piped.output == "piped\n" && piped.status == 0)
    }

    @Test func showsWhatTheHeaderSays() throws {
        let path = dump("command-show.image")
        let header = try ImageBytes(bytes: Workshop.bytes(of: path)).parse()
        let text = run([path]).output
        #expect(text.contains("\(path): process image, version 1, x86-64\n"))
        #expect(text.contains("program    sh, stopped at its entry"))
        #expect(text.contains("\(header.totalByteCount) bytes, \(header.prefixByteCount) of them"))
        #expect(text.contains("\(header.blockCount) blocks, all well\n"))
        #expect(text.split(separator: "\n").count { $0.hasPrefix("    ") } == header.regions.count)
        #expect(run(["--verify", path]) == Workshop.Outcome(status: 0, output: ""))
        let brief = run(["--header", path]).output
        #expect(!brief.contains("checksums") && !brief.contains("mappings  "))
    }

    @Test func jsonHasTheSameNumbers() throws {
        let path = dump("command-json.image")
        let header = try ImageBytes(bytes: Workshop.bytes(of: path)).parse()
        let fields = try object([path])
        #expect(fields["file"] as? String == path)
        #expect(fields["name"] as? String == "sh")
        #expect(fields["captured"] as? String == "entry")
        #expect(fields["total"] as? Int == header.totalByteCount)
        #expect(fields["memory"] as? UInt64 == header.memoryByteCount)
        #expect(fields["features"] as? [String] == header.neededFeatures.names)
        #expect(fields["missing"] as? [String] == [])
        #expect(fields["whole"] as? Bool == true)
        #expect((fields["mappings"] as? [Any])?.count == header.regions.count)
        #expect(try object(["--header", path])["mappings"] == nil)
    }

    @Test func levelsAndStartsShow() throws {
        let low = try object([dump("command-level.image", ["--level", "x86-64-v2"])])
        let features = try #require(low["features"] as? [String])
        #expect(!features.contains("avx2") && !features.contains("avx512f"))
        #expect(run(["dump", "--level", "v9", "true"]).status == 64)
        let start = try object([dump("command-exec.image", ["--at-exec"])])
        #expect(start["captured"] as? String == "start")
        #expect(start["features"] as? [String] == [])
    }

    @Test func saysWhatIsWrongWithEachFile() throws {
        let path = dump("command-bad.image")
        var bytes = Workshop.bytes(of: path)
        let short = Workshop.write(Array(bytes.dropLast(5000)), to: "command-short.image")
        bytes[bytes.count - 100] ^= 1
        let flipped = Workshop.write(bytes, to: "command-flipped.image")
        let text = Workshop.write(Array("text".utf8), to: "command-text.image")
        let outcome = run(["--verify", path, short, flipped, text, "/nothing/here", "/tmp"])
        #expect(outcome.status == 1)
        let lines = outcome.output.split(separator: "\n")
        #expect(lines.count == 5)
        for (line, words) in zip(
            lines,
            [
                "\(short): image is cut short", "\(flipped): image is damaged: checksum of block",
                "\(text): image is cut short: its header", "/nothing/here: open: No such file",
                "/tmp: read: Is a directory",
            ])
        {
            #expect(line.hasPrefix("bpimage: \(words)"), "\(line)")
        }
        #expect(try object(["--header", flipped])["whole"] == nil)
        #expect(run(["--verify", "--header", path]).status == 64)
        #expect(run([]).status == 64)
    }

    @Test func commandsThatCannotBeDumped() {
        #expect(run(["dump", "-o", "/dev/null", "no-such-command-here"]).status == 127)
        #expect(run(["dump", "-o", "/dev/null", "/tmp"]).status == 126)
        let full = run(["dump", "-o", "/dev/full", "true"])
        #expect(full.status == 1 && full.output.contains("No space left on device"))
        let nowhere = run(["dump", "-o", "/nothing/here", "true"])
        #expect(nowhere.status == 1 && nowhere.output.contains("write /nothing/here: No such"))
    }
}
