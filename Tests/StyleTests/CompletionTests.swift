import Foundation
import Testing

/// What `make install` leaves for the shells completes the options that the commands have.
@Suite(.serialized) struct CompletionTests {
    static let commands = [
        "bpmaster", "bpslave", "bpsh", "bpcp", "bpstat", "bpctl", "bplib", "bpcluster", "bpimage",
        "bpps", "bpkill",
    ]

    /// Installs the completions into a folder of their own, and removes it after the body.
    private static func withInstalled(_ body: (String) throws -> Void) throws {
        let folder = NSTemporaryDirectory() + "bproc-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let made = try ManualTests.run(
            "/usr/bin/make", ["-s", "install-completions", "PREFIX=/usr", "DESTDIR=\(folder)"])
        try #require(made.status == 0, "\(made.text)")
        try body(folder + "/usr/share")
    }

    /// Options by subcommand; "" where there are none.
    private static func helpOptions(_ command: String) throws -> [String: Set<String>] {
        var options: [String: Set<String>] = [:]
        for arguments in ManualTests.helpCommands(of: command) {
            let help = try ManualTests.run("\(ManualTests.products)/\(command)", arguments)
            try #require(help.status == 0, "\(help.text)")
            options[arguments.count > 1 ? arguments[1] : ""] =
                ManualTests.options(inHelp: help.text)
        }
        return options
    }

    /// What bash offers for the last of these words.
    private static func offered(_ words: [String], by file: String) throws -> [String] {
        let script = """
            file=$1; shift
            source "$file" || exit 1
            COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
            "_$1" "$1" "${@: -1}" "${@: -2:1}"
            printf '%s\\n' "${COMPREPLY[@]}"
            """
        let outcome = try ManualTests.run("/bin/bash", ["-c", script, "bash", file] + words)
        try #require(outcome.status == 0, "\(words): \(outcome.text)")
        return outcome.text.split(separator: "\n").map(String.init)
    }

    private static func options(_ words: some Sequence<String>) -> Set<String> {
        Set(words.filter { $0.hasPrefix("-") })
    }

    @Test(.enabled(if: ManualTests.areBuilt, "the commands are not built in .build/release"))
    func bashOffersEveryOption() throws {
        try Self.withInstalled { share in
            for command in Self.commands {
                let file = "\(share)/bash-completion/completions/\(command)"
                for (subcommand, known) in try Self.helpOptions(command) {
                    let words = [command] + (subcommand.isEmpty ? [] : [subcommand])
                    let offered = Self.options(try Self.offered(words + ["-"], by: file))
                    #expect(offered == known, "\(command) \(subcommand)")
                }
            }
            let bpsh = "\(share)/bash-completion/completions/bpsh"
            #expect(
                try Self.offered(["bpsh", "--all-n"], by: bpsh) == ["--all-not-down"])
            #expect(
                try Self.offered(["bpsh", "--compression", "a"], by: bpsh) == ["auto", "always"])
            #expect(try Self.offered(["bpsh", "h"], by: bpsh) == [], "there is no subcommand")
            #expect(
                try Self.offered(
                    ["bpcluster", "st"], by: "\(share)/bash-completion/completions/bpcluster")
                    == ["status"])
        }
    }

    /// The other shells need not be here: their files are read, and checked where the shell is.
    @Test(.enabled(if: ManualTests.areBuilt, "the commands are not built in .build/release"))
    func zshAndFishNameEveryOption() throws {
        try Self.withInstalled { share in
            for command in Self.commands {
                let known = try Self.helpOptions(command).values.reduce(into: Set<String>()) {
                    $0.formUnion($1)
                }
                let zsh = "\(share)/zsh/site-functions/_\(command)"
                let zshText = try String(contentsOfFile: zsh, encoding: .utf8)
                #expect(zshText.hasPrefix("#compdef \(command)\n"))
                #expect(Self.options(inZsh: zshText) == known, "\(zsh)")
                let fish = "\(share)/fish/vendor_completions.d/\(command).fish"
                let fishText = try String(contentsOfFile: fish, encoding: .utf8)
                #expect(Self.options(inFish: fishText) == known, "\(fish)")
                for (shell, file) in [("zsh", zsh), ("fish", fish)] {
                    for folder in ["/usr/bin", "/bin"]
                    where FileManager.default.isExecutableFile(atPath: "\(folder)/\(shell)") {
                        let outcome = try ManualTests.run("\(folder)/\(shell)", ["-n", file])
                        #expect(outcome.status == 0, "\(outcome.text)")
                    }
                }
            }
        }
    }

    /// Lines such as `'(-a --all-up)'{-a,--all-up}'[Sentence.]'`, `'*'{-S,--slave}'[…]:nodes:'`,
    /// and `'--classic[Sentence.]'`.
    private static func options(inZsh text: String) -> Set<String> {
        var options: Set<String> = []
        for line in text.split(separator: "\n") {
            let line = line.drop { $0 == " " }
            guard line.hasPrefix("'"), let end = line.firstIndex(of: "[") else { continue }
            var head = line[..<end]
            if let brace = head.firstIndex(of: "{") { head = head[brace...] }
            let names = head.split { "'*{},".contains($0) }.map(String.init)
            options.formUnion(Self.options(names))
        }
        return options
    }

    /// Lines such as `complete -c 'bpsh' -n '…' -s 'a' -l 'all-up' -d 'Sentence.'`.
    private static func options(inFish text: String) -> Set<String> {
        var options: Set<String> = []
        for line in text.split(separator: "\n") where line.hasPrefix("complete -c") {
            let head = line.split(separator: " -d '", maxSplits: 1)[0]
            for match in head.matches(of: /\ -(s|l) '([^']+)'/) {
                options.insert((match.1 == "s" ? "-" : "--") + match.2)
            }
        }
        return options
    }
}
