import Foundation
import Testing

/// The manual pages say what the commands say of themselves.
@Suite struct ManualTests {
    static let products = SourceTree.root + "/.build/release"
    static let areBuilt = [
        "bpmaster", "bpslave", "bpsh", "bpcp", "bpstat", "bpctl", "bplib", "bpcluster", "bpimage",
        "bpps", "bpkill",
    ].allSatisfy {
        FileManager.default.isExecutableFile(atPath: "\(products)/\($0)")
    }
    static let manual = ["/usr/bin/man", "/bin/man"].first {
        FileManager.default.isExecutableFile(atPath: $0)
    }

    struct Outcome {
        let status: Int32
        let text: String
    }

    static func run(_ program: String, _ arguments: [String]) throws -> Outcome {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        process.environment = [
            "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "MANWIDTH": "80", "COLUMNS": "80",
        ]
        process.currentDirectoryURL = URL(fileURLWithPath: SourceTree.root)
        let output = Pipe()
        process.standardOutput = output
        process.standardError = output
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let text = String(
            decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return Outcome(status: process.terminationStatus, text: text)
    }

    /// The options at the beginning of the lines of a help text.
    static func options(inHelp text: String) -> Set<String> {
        var options: Set<String> = []
        for line in text.split(separator: "\n") where line.hasPrefix("  -") {
            for word in line.split(separator: " ") {
                guard word.hasPrefix("-") else { break }
                let option = word.prefix { $0 != "," }
                options.insert(String(option))
            }
        }
        return options
    }

    /// The options that head a paragraph of a manual page.
    static func options(inManual text: String) -> Set<String> {
        var options: Set<String> = []
        var isHead = false
        for line in text.split(separator: "\n") {
            if isHead {
                for match in line.matches(of: /\\fB((?:\\-)[^\\]*(?:\\-[^\\]*)*)\\fR/) {
                    options.insert(String(match.1.replacing("\\-", with: "-")))
                }
            }
            isHead = line == ".TP"
        }
        return options
    }

    /// What to call a command with for all its help texts.
    static func helpCommands(of command: String) -> [[String]] {
        let subcommands = [
            "bpcluster": ["up", "down", "status", "run", "demo", "bench"],
            "bpimage": ["show", "dump"],
        ]
        return subcommands[command].map { $0.map { ["help", $0] } } ?? [["--help"]]
    }

    @Test func readsHelpAndManual() {
        let help = "OPTIONS:\n  -c, --compact  The -l.\n  --fan-out <n>   x\n          --not\n"
        #expect(Self.options(inHelp: help) == ["-c", "--compact", "--fan-out"])
        let manual = ".TP\n\\fB\\-c\\fR, \\fB\\-\\-compact\\fR \\fIn\\fR\n\\fB\\-x\\fR\n"
        #expect(Self.options(inManual: manual) == ["-c", "--compact"])
    }

    @Test(
        .enabled(if: areBuilt, "the commands are not built in .build/release"),
        arguments: [
            "bpmaster.8", "bpslave.8", "bpsh.1", "bpcp.1", "bpstat.1", "bpctl.1", "bplib.1",
            "bpcluster.1", "bpimage.1", "bpps.1", "bpkill.1",
        ])
    func everyOptionIsInItsManualPage(page: String) throws {
        let command = String(page.prefix { $0 != "." })
        var known: Set<String> = []
        for arguments in Self.helpCommands(of: command) {
            let help = try Self.run("\(Self.products)/\(command)", arguments)
            #expect(help.status == 0)
            known.formUnion(Self.options(inHelp: help.text))
        }
        #expect(known.count > 3)
        let text = try String(
            contentsOfFile: "\(SourceTree.root)/man/\(page)", encoding: .utf8)
        let described = Self.options(inManual: text)
        #expect(known.subtracting(described) == [], "not in man/\(page)")
        #expect(described.subtracting(known) == [], "only in man/\(page)")
    }

    /// Every page, those of the library's calls included.
    static let pages: [String] =
        (try? FileManager.default.contentsOfDirectory(atPath: SourceTree.root + "/man").sorted())
        ?? []

    @Test func thereArePages() { #expect(Self.pages.count >= 5) }

    @Test(.enabled(if: manual != nil, "there is no man here"), arguments: pages)
    func manualPagesFormatWithoutWarnings(page: String) throws {
        let manual = try #require(Self.manual)
        // Only the complaints are of interest, and they go where the text does not.
        let outcome = try Self.run(
            "/bin/sh", ["-c", "'\(manual)' --warnings -l man/\(page) 2>&1 >/dev/null"])
        #expect(outcome.text == "")
        #expect(outcome.status == 0)
    }

    // MARK: The library's calls

    /// The names of a section 3 page, which installation makes pages of their own.
    static func names(inManual text: String) -> [Substring] {
        let lines = text.split(separator: "\n")
        guard let head = lines.firstIndex(of: ".SH NAME"), head + 1 < lines.endIndex else {
            return []
        }
        return lines[head + 1].prefix { $0 != "\\" }.split { $0 == "," || $0 == " " }
    }

    static func calls(in text: String) -> Set<Substring> {
        Set(text.matches(of: /\n[a-z_ ]+[ *](_?bproc_[a-z_]+)\(/).map(\.1))
    }

    /// Every public call is named by one page.
    @Test func everyCallHasAPage() throws {
        func text(_ path: String) throws -> String {
            try String(contentsOfFile: "\(SourceTree.root)/\(path)", encoding: .utf8)
        }
        let headers = try ["bproc", "bproc_job"].map {
            try text("Sources/CBProc/include/sys/\($0).h")
        }.joined()
        let declared = Self.calls(in: headers)
        #expect(declared.count > 80)
        var named: [Substring] = []
        for page in Self.pages where page.hasSuffix(".3") {
            named += Self.names(inManual: try text("man/\(page)"))
        }
        #expect(declared.subtracting(named) == [], "calls without a page")
        // The page of the whole, and the macro, are no functions.
        #expect(Set(named).subtracting(declared) == ["bproc", "bproc_node_set_node"])
        #expect(Set(named).count == named.count, "a name stands on two pages")
    }

    @Test(
        .enabled(if: areBuilt, "the commands are not built in .build/release"),
        arguments: ["bpmaster", "bpslave"])
    func exampleConfigurationsNameRealKeys(daemon: String) throws {
        let program = "\(Self.products)/\(daemon)"
        let good = try Self.run(program, ["--config", "etc/\(daemon).json5", "--version"])
        #expect(good.status == 0, "\(good.text)")
        let bad = NSTemporaryDirectory() + "bproc-\(UUID().uuidString).json5"
        try "{ nodez: 3 }".write(toFile: bad, atomically: false, encoding: .utf8)
        defer { try? FileManager.default.removeItem(atPath: bad) }
        let refused = try Self.run(program, ["--config", bad, "--version"])
        #expect(refused.status == 64)
        #expect(refused.text.contains("nodez"))
        // What it says of itself does not depend on the file.
        for option in ["--help", "--generate-completion-script=fish"] {
            #expect(try Self.run(program, ["--config", bad, option]).status == 0, "\(option)")
        }
    }
}
