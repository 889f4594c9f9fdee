import Glibc
import Testing

/// Programs of other languages and C libraries, stopped at their entry and run from the image's
/// file. FORMAT.md has the list of what was seen.
@Suite struct LanguageTests {
    private func check(_ program: String, _ arguments: [String], _ expected: String, _ name: String)
    {
        let path = Workshop.folder + "/language-\(name).image"
        let captured = Workshop.run([Workshop.tool, "capture", path, program] + arguments)
        #expect(captured.status == 0, "\(captured)")
        for command in [[path], [Workshop.tool, "restore", path]] {
            let outcome = Workshop.run(command)
            #expect(outcome.output == expected + "\n")
            #expect(outcome.status == 42)
        }
    }

    @Test(
        .enabled(if: Workshop.find("musl-gcc") != nil, "no musl-gcc on PATH"),
        arguments: ["", "-static", "-static-pie"])
    func musl(option: String) throws {
        let options = option.isEmpty ? [] : [option]
        let program = try #require(
            Workshop.compile(
                "inside-musl\(option)",
                ["musl-gcc", "-O1", Workshop.sources + "/inside-musl.c"] + options))
        check(program, ["argument"], "musl: all well", "musl\(option)")
    }

    /// With cgo the program is linked to the C library, without it is static.
    @Test(.enabled(if: Workshop.find("go") != nil, "no go on PATH"), arguments: ["0", "1"])
    func go(usesC: String) throws {
        let program = Workshop.folder + "/inside-go-\(usesC)"
        let built = Workshop.run(
            [
                try #require(Workshop.find("go")), "build", "-o", program,
                Workshop.sources + "/inside.go",
            ],
            environment: [
                "CGO_ENABLED=\(usesC)", "GOCACHE=\(Workshop.folder)/go-cache",
                "GOFLAGS=-buildvcs=false",
            ])
        #expect(built.status == 0, "\(built)")
        check(program, ["argument"], "go: all well", "go-\(usesC)")
    }

    @Test(.enabled(if: access("/usr/bin/perl", X_OK) == 0, "no perl"))
    func perl() {
        let script = """
            my %h = map { $_ => 1 } 1..1000; my $r = eval { die "caught\\n" } // $@;
            print "perl: ", scalar(keys %h), " $r"; exit 42
            """
        check("/usr/bin/perl", ["-e", script], "perl: 1000 caught", "perl")
    }

    @Test(.enabled(if: Workshop.find("swiftc") != nil, "no swiftc on PATH"))
    func swiftWithStaticLibrary() throws {
        let program = try #require(
            Workshop.compile(
                "inside-swift-stdlib",
                ["swiftc", "-O", "-static-stdlib", Workshop.sources + "/inside.swift"]))
        let path = Workshop.folder + "/language-swift-stdlib.image"
        #expect(Workshop.run([Workshop.tool, "capture", path, program, "argument"]).status == 0)
        let outcome = Workshop.run([path])
        #expect(outcome.output == "swift: all well\n")
        #expect(outcome.status == 0)
    }
}
