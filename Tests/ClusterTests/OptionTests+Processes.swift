import Glibc
import Testing

// Commands for processes.
extension ClusterTests.Options {
    private static let head =
        #" +PID NODE USER     S  %CPU       TIME     MEMORY SUB COMMAND\n"#

    private static func row(_ node: Int) -> String {
        #" *[0-9]+ +"# + "\(node)" + #" \S+ +[A-Z] .* KiB +[0-9]+ .*sleep 1000; true\n"#
    }

    @Test func bpps() throws {
        try TestCluster.with(nodes: 2) { cluster in
            let job = try cluster.startJob(
                "0-1", "sh", "-c", "echo a; sleep 1000; true", lineCount: 2)
            try cluster.expect("what the shells have started") {
                let shown = try? cluster.command("bpps", ["--tree"])
                return shown?.text.ranges(of: "sleep 1000\n").count == 2
            }
            let both = "(?s)" + Self.head + Self.row(0) + Self.row(1)
            var table = [Case([], like: both)]
            for option in ["-r", "--reverse"] {
                table.append(Case([option], like: "(?s)" + Self.head + Self.row(1) + Self.row(0)))
            }
            for option in ["-t", "--tree"] {
                // The shell, and its sleep below it.
                table.append(
                    Case(
                        [option, "--node", "0"],
                        like: "(?s)" + Self.head + Self.row(0) + #".*sleep 1000\n"#))
            }
            for (option, keys) in [
                ("-s", ["pid", "node", "user", "cpu"]),
                ("--sort", ["time", "memory", "command"]),
            ] {
                for key in keys {
                    table.append(Case([option, key], like: "(?s)" + Self.head + ".*"))
                }
            }
            table += [
                Case(["--node", "1"], like: "(?s)" + Self.head + Self.row(1)),
                Case(["--user", "\(geteuid())"], like: both),
                Case(["--user", "65534"], like: "(?s)" + Self.head),
                Case(["--patience", "5", "--node", "0"], like: "(?s)" + Self.head + Self.row(0)),
                Case(
                    ["--json", "--node", "1"],
                    like: #"(?s)\[\{"pid":[0-9]+,"node":1,"rank":1,.*\}\]\n"#),
                Case(["--sort", "size"], status: 64, "", errors: "'size' is invalid"),
                Case(["--patience", "30"], status: 64, "", errors: "patience"),
            ]
            try Self.check("bpps", table + Self.aboutItself("bpps"), on: cluster)
            for words in [["-w", "-d", "0.1"], ["--watch", "--delay", "0.1"]] {
                Self.note("bpps", words)
                let shown = try cluster.conversation("bpps", words, input: nil)
                #expect(
                    shown.serve(seconds: TestCluster.patience) {
                        shown.text.ranges(of: "COMMAND").count > 1
                    }, "it shows them once only")
                shown.process.signal(SIGINT)
                #expect(!shown.finish(seconds: TestCluster.patience).isOverdue)
            }
            job.process.signal(SIGTERM)
            _ = job.finish(seconds: TestCluster.patience)
            try Self.expectComplete("bpps")
        }
    }

    @Test func bpkill() throws {
        try TestCluster.with(nodes: 2) { cluster in
            /// A job of two ranks that say which signal they got.
            func job() throws -> (Conversation, [String]) {
                let script = """
                    trap 'echo usr1' USR1; trap 'echo usr2' USR2; trap 'echo term; exit 3' TERM
                    echo a; while :; do sleep 0.05; done
                    """
                let job = try cluster.startJob("0-1", "sh", "-c", script, lineCount: 2)
                let list = try cluster.command("bpstat", ["-p"]).text.split(separator: "\n")
                return (job, list.dropFirst().map { String($0.prefix { $0 != "\t" }) })
            }
            func wait(_ job: Conversation, _ word: String, _ count: Int) {
                #expect(
                    job.serve(seconds: TestCluster.patience) {
                        job.text.ranges(of: word).count == count
                    }, "\(word): \(job.text)")
            }
            let (first, pids) = try job()
            try #require(pids.count == 2)
            try Self.check(
                "bpkill",
                [
                    Case(["-0", pids[0]], ""), Case(["-s", "USR1", pids[0]], ""),
                    Case(["--signal", "12", pids[1]], ""),
                    Case(["-l"], like: #"(?s)1 HUP\n2 INT\n.*9 KILL\n.*64 RTMAX\n"#),
                    Case(["--list"], like: #"(?s)1 HUP\n2 INT\n.*9 KILL\n.*64 RTMAX\n"#),
                    Case(["99"], status: 1, "", errors: "there is no process 99"),
                    Case(["-s", "NO", "1"], status: 64, "", errors: "NO"),
                    Case([], status: 64, "", errors: "No process is named"),
                ] + Self.aboutItself("bpkill"), on: cluster)
            wait(first, "usr1", 1)
            wait(first, "usr2", 1)
            try Self.check("bpkill", [Case([pids[0]], "")], on: cluster)
            wait(first, "term", 1)
            try Self.check("bpkill", [Case(["--job", "-USR1", pids[1]], "")], on: cluster)
            wait(first, "usr1", 2)
            try Self.check("bpkill", [Case(["--job", "-KILL", pids[1]], "")], on: cluster)
            #expect(first.finish(seconds: TestCluster.patience).status == 128 + SIGKILL)
            try Self.expectComplete("bpkill")
        }
    }
}
