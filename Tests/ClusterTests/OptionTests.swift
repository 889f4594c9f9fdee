import Glibc
import Testing

extension ClusterTests {
    /// Every option of every command against what it must print, on real daemons.
    @Suite(.serialized) struct Options {
        /// One command line, and what must come of it.
        struct Case {
            var words: [String]
            var input: String = ""
            var status: Int32 = 0
            var output: String
            /// Part of standard error; empty: nothing stands there.
            var errors: String = ""
            /// Ranks race: lines are compared in order.
            var isSorted = false
            /// `output` is a regular expression for all of it.
            var isPattern = false

            init(
                _ words: [String], input: String = "", status: Int32 = 0, _ output: String,
                errors: String = "", isSorted: Bool = false
            ) {
                self.words = words
                self.input = input
                self.status = status
                self.output = output
                self.errors = errors
                self.isSorted = isSorted
            }

            init(
                _ words: [String], input: String = "", status: Int32 = 0, like pattern: String,
                errors: String = ""
            ) {
                self.init(words, input: input, status: status, pattern, errors: errors)
                isPattern = true
            }
        }

        /// Words of command lines that a table has had, by command.
        nonisolated(unsafe) private static var used: [String: [String]] = [:]

        static func note(_ command: String, _ words: [String]) {
            used[command, default: []] += words
        }

        /// Each name of each option that the command has must have stood in its tables.
        /// - Parameter elsewhere: names that tests of their own are about.
        static func expectComplete(_ command: String, elsewhere: Set<String> = []) throws {
            let words = used[command] ?? []
            let missing = try OptionNames.of(command).subtracting(elsewhere).filter { name in
                !words.contains { word in
                    word == name || word.hasPrefix(name + "=")
                        || (!name.hasPrefix("--") && !word.hasPrefix("--") && word.hasPrefix(name))
                }
            }
            #expect(missing.sorted() == [], "options of \(command) in no table")
        }

        /// What every command says of itself.
        static func aboutItself(_ command: String, _ version: String = "0.1") -> [Case] {
            ["-h", "--help"].map { Case([$0], like: "(?s)OVERVIEW: .*USAGE: \(command) .*") }
                + [Case(["--version"], "\(command) (bproc) \(version)\n")]
        }

        static func check(_ command: String, _ table: [Case], on cluster: TestCluster) throws {
            for entry in table {
                note(command, entry.words)
                let outcome = try cluster.command(
                    command, entry.words, input: Array(entry.input.utf8))
                let text =
                    entry.isSorted
                    ? outcome.sortedLines.map { $0 + "\n" }.joined() : outcome.text
                let what: Comment = "\(command) \(entry.words): \(outcome.errorText)"
                if entry.isPattern {
                    #expect(try Regex(entry.output).wholeMatch(in: text) != nil, what)
                } else {
                    #expect(text == entry.output, what)
                }
                #expect(outcome.status == entry.status, what)
                if entry.errors.isEmpty {
                    #expect(outcome.errorText == "", what)
                } else {
                    #expect(outcome.errorText.contains(entry.errors), what)
                }
            }
        }

        static let dashes = String(repeating: "-", count: 69)

        @Test func bpsh() throws {
            try TestCluster.with(nodes: 3) { cluster in
                cluster.slaves[2]?.signal(SIGTERM)
                try cluster.waitUntilUp([0, 1])
                let both = ["0-1", "sh", "-c"]
                let long = "seq 50000"
                try Self.check(
                    "bpsh",
                    [
                        Case(["-a", "echo", "-n", "x"], "xx"),
                        Case(["--all-up", "echo", "-n", "x"], "xx"),
                        Case(["-A", "echo", "-n", "x"], "xx"),
                        Case(["--all-not-down", "echo", "-n", "x"], "xx"),
                        // Options stand before and after the nodes, and never behind the command.
                        Case(["0", "-p", "echo", "-n", "a"], "  0: a\n"),
                        Case(["-p", "0", "echo", "-n", "a"], "  0: a\n"),
                        Case(["0", "echo", "-p"], "-p\n"),
                        Case(["--prefix", "0", "echo", "a"], "  0: a\n"),
                        Case(
                            ["-pa", "echo", "a"], "  0: a\n  1: a\n", isSorted: true),
                        Case(["-L", "0", "printf", "a\\nb"], "a\nb"),
                        Case(["--line-buffered", "0", "printf", "a\\nb"], "a\nb"),
                        Case(["0", "cat"], input: "text", "text"),
                        Case(["-n", "0", "cat"], input: "text", ""),
                        Case(["--null-input", "0", "cat"], input: "text", ""),
                        Case(["-N", "0", "echo", "a"], ""),
                        Case(["--no-forwarding", "0", "sh", "-c", "echo a >&2"], ""),
                        Case(["-l", "user", "0", "echo", "a"], "a\n"),
                        Case(["-luser", "0", "echo", "a"], "a\n"),
                        Case(["-pb", "4", "0", "echo", "abcdefg"], "  0: abcdefg\n"),
                        Case(["-b", "3", "0", "cat"], input: "abcdefg", "abcdefg"),
                        Case(["--buffer=3", "0", "cat"], input: "abcdefg", "abcdefg"),
                    ], on: cluster)
                try Self.check(
                    "bpsh",
                    [
                        // The first sleeps, and is the first all the same.
                        Case(
                            ["-s"] + both + [
                                "test $BPROC_RANK = 0000000 && sleep 0.3; echo $BPROC_RANK a; "
                                    + "echo $BPROC_RANK b"
                            ], "0000000 a\n0000000 b\n0000001 a\n0000001 b\n"),
                        Case(["--sequential", "1,0", "-p", "echo", "a"], "  1: a\n  0: a\n"),
                        Case(
                            ["-d", "1,0", "echo", "a"],
                            "1\t\(Self.dashes)\na\n0\t\(Self.dashes)\na\n"),
                        Case(
                            ["--divider", "0-1", "true"],
                            "0\t\(Self.dashes)\n1\t\(Self.dashes)\n"),
                        // More than the window of a rank whose turn has not come.
                        Case(
                            ["-s"] + both + [long],
                            String(repeating: try Self.local(long), count: 2)),
                    ], on: cluster)
                try Self.files(cluster)
                try Self.statuses(cluster)
            }
        }

        /// What a shell here prints.
        static func local(_ script: String) throws -> String {
            try Conversation(
                "/bin/sh", ["-c", script], environment: ["PATH": "/usr/bin:/bin"], input: []
            ).finish(seconds: TestCluster.patience).text
        }

        /// -I, -O and -E name files of the node, in every mixture with what is forwarded.
        private static func files(_ cluster: TestCluster) throws {
            let folder = cluster.folder + "/tmp"
            TestFile.write("from a file\n", to: "\(folder)/in")
            let script = ["0", "sh", "-c", "cat; echo error >&2"]
            try check(
                "bpsh",
                [
                    Case(
                        ["-I", "\(folder)/in"] + script, input: "no", "from a file\n",
                        errors: "error"),
                    Case(["--stdin=\(folder)/in"] + script, "from a file\n", errors: "error"),
                    Case(["-O", "\(folder)/out"] + script, input: "in\n", "", errors: "error"),
                    Case(["-E", "\(folder)/err"] + script, input: "in\n", "in\n"),
                    Case(
                        [
                            "-N", "-I\(folder)/in", "--stdout", "\(folder)/out2", "--stderr",
                            "\(folder)/err2",
                        ] + script, ""),
                    Case(
                        ["-s", "-O\(folder)/out3"] + script, input: "three\n", "",
                        errors: "error"),
                    Case(
                        ["-I", "/no/such/file"] + script, status: 255, "",
                        errors: "descriptor 0"),
                    Case(["-O", ""] + script, status: 64, "", errors: "255 bytes"),
                    Case(["-n", "-I", "x"] + script, status: 64, "", errors: "exclude"),
                ], on: cluster)
            #expect(TestFile.text("\(folder)/out") == "in\n")
            #expect(TestFile.text("\(folder)/err") == "error\n")
            #expect(TestFile.text("\(folder)/out2") == "from a file\n")
            #expect(TestFile.text("\(folder)/err2") == "error\n")
            #expect(TestFile.text("\(folder)/out3") == "three\n")
        }

        /// Exit statuses, and those of the original.
        private static func statuses(_ cluster: TestCluster) throws {
            let killed = ["0-1", "sh", "-c", "kill -9 $$"]
            let some = ["0-1", "sh", "-c", "test $BPROC_RANK = 0000000 || exit 3"]
            try check(
                "bpsh",
                [
                    Case(some, status: 3, ""),
                    Case(["--classic"] + some, status: 3, ""),
                    Case(killed, status: 137, "", errors: "killed by signal 9"),
                    Case(
                        ["--classic"] + killed, status: 255, "",
                        errors: "Child process on node 0 exited abnormally."),
                    Case(["0,2", "true"], status: 255, "", errors: "node 2"),
                    Case(["--classic", "0,2", "true"], "", errors: "node 2"),
                    Case(["0,99", "true"], status: 255, "", errors: "node 99"),
                    Case(["--classic", "0,99", "true"], "", errors: "node 99"),
                    Case(["error", "true"], status: 255, "", errors: "no such node"),
                    Case(["--classic", "error", "true"], ""),
                    Case(
                        ["0", "no-such-command"], status: 127, "",
                        errors: "bpsh: no-such-command: command not found"),
                    Case(
                        ["--classic", "0", "no-such-command"], status: 1, "",
                        errors: "bpsh: no-such-command: command not found"),
                    Case(["0", "/etc/passwd"], status: 126, "", errors: "permission denied"),
                    Case(
                        ["--classic", "0", "/etc/passwd"], status: 1, "",
                        errors: "permission denied"),
                    Case(["0"], status: 1, "", errors: "no command"),
                    Case([], status: 1, "", errors: "no nodes"),
                    Case(["-a", "-A", "true"], status: 64, "", errors: "exclude"),
                    Case(["-b", "0", "0", "true"], status: 64, "", errors: "-b"),
                    Case(["-v"], "bpsh (bproc) 0.1\n"),
                    Case(["--version"], "bpsh (bproc) 0.1\n"),
                ], on: cluster)
            let timed = ["-t", "--time"].map {
                Case([$0, "0", "true"], like: #"\d+\.\d{6}\n"#)
            }
            let plans = [
                ["--chunk", "65536"], ["--fan-out", "1"], ["--compression", "always"],
                ["--trace", "\(cluster.folder)/tmp/trace"],
            ].map {
                Case($0 + ["0-1", "echo", "a"], "a\na\n")
            }
            try check("bpsh", timed + plans + aboutItself("bpsh"), on: cluster)
            try expectComplete("bpsh")
        }
    }
}
