import Glibc
import Testing

/// Real programs, moved, and asked from inside whether they are well.
@Suite struct RestoreTests {
    /// Where and as whom an image is run.
    enum Way: CaseIterable, CustomTestStringConvertible {
        case restored, restoredAsUser, restoredInEmptyRoot, direct, directAsUserInEmptyRoot

        var needsRoot: Bool { self != .restored && self != .direct }
        var testDescription: String { "\(self)" }
    }

    static let ways = Way.allCases.filter { !$0.needsRoot || Workshop.isRoot }

    /// Takes the image of a command into a file.
    private func capture(
        _ name: String, _ command: [String], options: [String] = [],
        sourceLocation: SourceLocation = #_sourceLocation
    ) -> String {
        let image = Workshop.folder + "/" + name + ".image"
        let outcome = Workshop.run([Workshop.tool, "capture"] + options + [image] + command)
        #expect(outcome.status == 0, "\(outcome.output)", sourceLocation: sourceLocation)
        return image
    }

    private func run(_ image: String, _ way: Way, options: [String] = []) -> Workshop.Outcome {
        switch way {
        case .restored: return Workshop.run([Workshop.tool, "restore"] + options + [image])
        case .restoredAsUser:
            return Workshop.run(
                [Workshop.tool, "restore", "--user", "65534"] + options + [image])
        case .restoredInEmptyRoot:
            return Workshop.run(
                [Workshop.tool, "restore", "--user", "65534", "--chroot", Workshop.emptyRoot]
                    + options + [image])
        case .direct: return Workshop.run([image])
        case .directAsUserInEmptyRoot:
            // The image is the only file there.
            let name = image.split(separator: "/").last.map(String.init) ?? ""
            let root = Workshop.folder + "/root-" + name
            mkdir(root, 0o755)
            link(image, root + "/" + name)
            defer {
                unlink(root + "/" + name)
                rmdir(root)
            }
            return Workshop.run(
                [Workshop.tool, "exec", "--user", "65534", "--chroot", root, "/" + name])
        }
    }

    @Test(arguments: ["dynamic", "static", "static-pie"], ways)
    func cProgramFindsItselfWell(kind: String, way: Way) throws {
        let program =
            kind == "dynamic"
            ? Programs.insideDynamic
            : kind == "static" ? Programs.insideStatic : Programs.insideStaticPIE
        guard let program else {
            withKnownIssue("no C compiler on PATH") { Issue.record() }
            return
        }
        let isDirect = way == .direct || way == .directAsUserInEmptyRoot
        var arguments = ["one", "two words", "", "blocked=10", "ignored=12"]
        if !isDirect { arguments += ["rank=0000042", "socket=/run/bproc/socket"] }
        if way.needsRoot { arguments.append("uid=65534") }
        let image = capture(
            "inside-\(kind)-\(way)", [program] + arguments,
            options: ["--block", "10", "--ignore", "12"])
        let outcome = run(
            image, way, options: ["--rank", "42", "--socket", "/run/bproc/socket"])
        #expect(outcome.output == "inside: all well\n")
        #expect(outcome.status == 42)
    }

    @Test(arguments: [false, true], ways)
    func cPlusPlusProgram(isStatic: Bool, way: Way) throws {
        guard let program = isStatic ? Programs.cPlusPlusStatic : Programs.cPlusPlus else {
            withKnownIssue("no C++ compiler on PATH") { Issue.record() }
            return
        }
        let outcome = run(capture("cc-\(isStatic)-\(way)", [program, "argument"]), way)
        #expect(outcome.output == "c++: all well\n")
        #expect(outcome.status == 42)
    }

    @Test(arguments: [false, true], ways)
    func swiftProgram(isStatic: Bool, way: Way) throws {
        guard let program = isStatic ? Programs.swiftStatic : Programs.swift else {
            withKnownIssue("no Swift compiler on PATH") { Issue.record() }
            return
        }
        let outcome = run(capture("swift-\(isStatic)-\(way)", [program, "argument"]), way)
        if isStatic && (way == .restoredInEmptyRoot || way == .directAsUserInEmptyRoot) {
            // A static Swift program starts on the node, and its runtime reads /proc/self/exe as it
            // does. Not moved at all it says the same there.
            #expect(outcome.output == "Unable to obtain Swift runtime path\n")
            return
        }
        #expect(outcome.output == "swift: all well\n")
        #expect(outcome.status == 0)
    }

    @Test(arguments: ways) func listsAnEmptyRoot(way: Way) throws {
        let outcome = run(capture("ls-\(way)", ["/bin/ls", "-a", "/"]), way)
        let inEmptyRoot = way == .restoredInEmptyRoot
        #expect(outcome.status == 0)
        if inEmptyRoot { #expect(outcome.output == ".\n..\n") }
        #expect(outcome.output.hasPrefix(".\n..\n"))
    }

    @Test(.enabled(if: access("/bin/bash", X_OK) == 0, "no bash"), arguments: ways)
    func shell(way: Way) throws {
        let script = "x=$((6 * 7)); (exit 3); echo $x $?; echo $BPROC_TEST; exit 5"
        let outcome = run(capture("bash-\(way)", ["/bin/bash", "-c", script]), way)
        #expect(outcome.output == "42 3\na value = with signs\n")
        #expect(outcome.status == 5)
    }

    @Test(.enabled(if: access("/usr/bin/python3", X_OK) == 0, "no python3"), arguments: ways)
    func python(way: Way) throws {
        let image = capture(
            "python-\(way)", ["/usr/bin/python3", "-c", "print('hello', sum(range(10)))"])
        let outcome = run(image, way)
        if way == .restoredInEmptyRoot || way == .directAsUserInEmptyRoot {
            // It runs, and says itself that its library is files.
            #expect(outcome.output.contains("No module named 'encodings'"))
        } else {
            #expect(outcome.output == "hello 45\n")
            #expect(outcome.status == 0)
        }
    }

    @Test(arguments: ways) func script(way: Way) throws {
        let text = "#! /bin/bash -e\necho ${0##*/} \"$1\" \"$#\"\nfalse\necho not reached\n"
        let path = Workshop.write(Array(text.utf8), to: "script-\(way).sh", mode: 0o755)
        let image = capture("script-\(way)", [path, "an argument", "2"])
        unlink(path)
        let outcome = run(image, way)
        switch way {
        case .restoredInEmptyRoot:
            #expect(outcome.status == 122)
            #expect(outcome.output.contains("a script needs /proc on the node"))
        case .directAsUserInEmptyRoot:
            #expect(outcome.status == 112)
        default:
            // Only who may mount can give it a name.
            let isNamed = Workshop.isRoot && (way == .restored || way == .restoredAsUser)
            let name = isNamed ? "script-\(way).sh" : "99"
            #expect(outcome.output == "\(name) an argument 2\n")
            #expect(outcome.status == 1)
        }
    }

    @Test func scriptWhoseInterpreterIsAScript() throws {
        let inner = Workshop.write(
            Array("#!/bin/sh\nshift\necho ${0##*/} \"$@\"\n".utf8), to: "inner.sh", mode: 0o755)
        let outer = Workshop.write(
            Array("#!\(inner) first\nnothing\n".utf8), to: "outer.sh", mode: 0o755)
        let outcome = run(capture("nested-script", [outer, "second"]), .restored)
        #expect(
            outcome.output
                == (Workshop.isRoot
                    ? "inner.sh /proc/self/fd/99/outer.sh second\n"
                    : "98 /proc/self/fd/99 second\n"))
    }

    @Test func stoppedAtExecTheLinkerRunsOnTheNode() throws {
        let image = capture("ls-exec", ["/bin/ls", "-d", "/"], options: ["--exec"])
        #expect(run(image, .restored).output == "/\n")
        guard Workshop.isRoot else { return }
        let outcome = run(image, .restoredInEmptyRoot)
        #expect(outcome.status == 127)
        #expect(outcome.output.contains("error while loading shared libraries"))
    }

    @Test func hundredInARow() throws {
        guard let data = Programs.data else {
            withKnownIssue("no C compiler on PATH") { Issue.record() }
            return
        }
        let image = capture("data", [data.path, data.hash])
        // Stops early at the first that does not end with 0: the program's verdict is 42, so this
        // first makes sure that a wrong verdict would be seen.
        #expect(run(image, .restored).status == 42)
        let good = capture("true-static", [Programs.insideStatic ?? "/bin/true", "x"])
        #expect(run(good, .restored).status == 1)
        for _ in 0..<100 { #expect(run(image, .restored).status == 42) }
    }

    @Test func itemsAreOpenedAsTheUser() throws {
        guard let program = Programs.insideDynamic else { return }
        let secret = Workshop.write([1, 2, 3], to: "secret", mode: 0o600)
        let image = capture(
            "items", [program, "one", "two words", "", "fds=3,4,17", "rank=0000042"])
        let readable = Workshop.write([1], to: "readable", mode: 0o644)
        let options = [
            "--rank", "42", "--file", "3:0:\(readable)", "--file", "4:0:\(readable)",
            "--file", "17:0:/dev/null",
        ]
        #expect(run(image, .restored, options: options).output == "inside: all well\n")
        guard Workshop.isRoot else { return }
        let refused = run(image, .restoredAsUser, options: options + ["--file", "5:0:\(secret)"])
        #expect(refused.status == 122)
        #expect(refused.output.contains("the file for descriptor 5 could not be opened"))
        #expect(refused.output.contains("Permission denied"))
    }

    @Test func niceValueIsTheProgramsOwn() throws {
        let image = capture("nice", ["/usr/bin/nice"])
        #expect(run(image, .restored, options: ["--nice", "7"]).output == "7\n")
    }
}
