import Glibc
import Testing

extension ClusterTests {
    /// Configuration files of the real daemons, with mistakes in them.
    @Suite(.serialized) struct Configuration {
        private static let all = """
            {
                listen: "127.0.0.1:2223",
                nodes: "0-8",
                address: { "8": "127.0.0.1" },
                group: { rack1: "0-3", rack2: "4-7,!5" },
                "node-mode": "110", "node-owner": "0:0",
                "ping-timeout": 30, grace: 10, "stall-timeout": 4000,
                "node-up": "/bin/true", "node-down": "/bin/false", "hook-limit": 4,
                "hook-timeout": 20, "hook-logs": "/tmp",
                "log-level": "info,relay=debug",
                metrics: "127.0.0.1:0",
            }
            """

        /// What a slip of the hand makes of a line.
        private static func slips(of line: String) -> [String] {
            var found = ["", line + line, line + "}"]
            for (old, new) in [
                (":", ""), (",", ""), ("\"", ""), ("1", "-1"), ("0", "99999999999999999999"),
                ("e", "x"), ("2", "\"2\""), ("\"", "'"), ("-", "_"),
            ] where line.contains(old) {
                found.append(String(line.replacing(old, with: new, maxReplacements: 1)))
                found.append(String(line.replacing(old, with: new)))
            }
            return found
        }

        /// Whatever line is wrong: the daemon says so, with a place, or takes it; it never crashes.
        @Test(arguments: ["bpmaster", "bpslave", "all"])
        func eachLineMutated(_ name: String) throws {
            let folder = TestFolder.make("lines")
            defer { TestFile.removeFolder(folder) }
            let text =
                name == "all" ? Self.all : TestFile.text("\(Package.root)/etc/\(name).json5")
            let daemon = "\(TestCluster.build)/\(name == "all" ? "bpmaster" : name)"
            func check(_ text: String) throws -> Subprocess.Outcome {
                let file = TestFile.write(text, to: "\(folder)/file.json5")
                return try Conversation(
                    daemon, ["--check-config", "--config", file], environment: [:], input: []
                ).finish(seconds: TestCluster.patience)
            }
            let whole = try check(text)
            try #require(whole.status == 0, "\(whole.errorText)")
            let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
                .map(String.init)
            var refusedCount = 0
            for (number, line) in lines.enumerated()
            where !line.drop(while: { $0 == " " }).hasPrefix("//") {
                for slip in Self.slips(of: line) {
                    var changed = lines
                    changed[number] = slip
                    let outcome = try check(changed.joined(separator: "\n"))
                    switch outcome.status {
                    case 0: #expect(outcome.text.contains("nothing is wrong"), "\(slip)")
                    case 64:
                        refusedCount += 1
                        #expect(
                            outcome.errorText.contains(/file\.json5:[0-9]+:[0-9]+:/),
                            "\(slip): \(outcome.errorText)")
                    default: Issue.record("\(slip): \(outcome.status) \(outcome.errorText)")
                    }
                }
            }
            #expect(refusedCount > lines.count)
        }
    }
}
