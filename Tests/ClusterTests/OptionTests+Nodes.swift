import Glibc
import Testing

// Commands that show and change nodes.
extension ClusterTests.Options {
    private static let head =
        "Node(s)                             Status          Mode       User     Group\n"

    private static func row(_ nodes: String, _ state: String) -> String {
        nodes + String(repeating: " ", count: 36 - nodes.count) + state
            + String(repeating: " ", count: 16 - state.count) + "---x--x--x root     root\n"
    }

    @Test func bpstat() throws {
        try TestCluster.with(nodes: 3) { cluster in
            cluster.slaves[2]?.signal(SIGTERM)
            try cluster.waitUntilUp([0, 1])
            let addresses = (0..<2).map { cluster.slaveAddress($0) }
            var table = [
                Case(["-c", "0-1"], Self.head + Self.row("0-1", "up")),
                Case(["--compact", "0"], Self.head + Self.row("0", "up")),
                Case(["-n", "up"], "0\n1\n"), Case(["--number", "up"], "0\n1\n"),
                Case(["-s", "0-1"], "up\nup\n"), Case(["--status"], "up\nup\ndown\n"),
                Case(["-t"], "3\n"), Case(["--total", "down"], "1\n"),
                Case(["-a", "0,1"], addresses.map { $0 + "\n" }.joined()),
                Case(["--address", "0"], addresses[0] + "\n"),
                Case(["-N", "-n", "1,0"], "0\n1\n"), Case(["--sort-number", "-n"], "0\n1\n2\n"),
                // down before up.
                Case(["-S", "-n"], "2\n0\n1\n"), Case(["--sort-status", "-n"], "2\n0\n1\n"),
                Case(["-O", "-n", "2,0"], "2\n0\n"), Case(["--keep-order", "-n", "1,0"], "1\n0\n"),
                Case(["-R", "-n"], "2\n1\n0\n"), Case(["--sort-reverse", "-n"], "2\n1\n0\n"),
                Case(["-A", addresses[1]], "1\n"), Case(["--node-of", addresses[0]], "0\n"),
                Case(["-p"], "PID\tNode\n"), Case(["--processes"], "PID\tNode\n"),
                Case(
                    ["-P"], input: "  PID TTY\n    1 ?\n", like: #"(?s)NODE +PID TTY\n +1 \?\n"#),
                Case(["--filter"], input: "PID\n", "NODE  PID\n"),
                Case(["-n", "99"], "", errors: "node 99: Invalid node number"),
            ]
            for option in ["-l", "--long"] {
                table.append(
                    Case([option, "0"], like: #"(?s)Node Address .*\n +0 127\.[0-9.]+ +up .*\n"#))
            }
            table.append(
                Case(
                    ["--json", "0"], like: #"\[\{"node":0,"state":"up","address":"[0-9.]+".*\}\]\n"#
                ))
            try Self.check("bpstat", table + Self.aboutItself("bpstat"), on: cluster)
            try Self.follow(cluster)
            try Self.expectComplete("bpstat")
        }
    }

    /// -U ends by interrupt, and with -L it does not.
    private static func follow(_ cluster: TestCluster) throws {
        for words in [["-U", "-n", "up"], ["--update", "-n", "up"]] {
            note("bpstat", words)
            let shown = try cluster.conversation("bpstat", words, input: nil)
            try cluster.expect("the first table") {
                shown.serve(seconds: 1) { shown.text.contains("1\n") }
            }
            shown.process.signal(SIGINT)
            #expect(!shown.finish(seconds: TestCluster.patience).isOverdue)
        }
        for (words, state) in [
            (["-U", "-L", "-s", "1"], "odd"), (["-U", "--lock", "-s", "1"], "even"),
        ] {
            note("bpstat", words)
            let shown = try cluster.conversation("bpstat", words, input: nil)
            shown.serve(seconds: TestCluster.patience) { shown.text.contains("\n") }
            shown.process.signal(SIGINT)
            #expect(try cluster.command("bpctl", ["-S", "1", "-s", state]).status == 0)
            #expect(shown.serve(seconds: TestCluster.patience) { shown.text.contains(state) })
            shown.process.signal(SIGTERM)
            #expect(!shown.finish(seconds: TestCluster.patience).isOverdue)
        }
    }

    @Test(.enabled(if: geteuid() == 0, "nodes are root's to change"))
    func bpctl() throws {
        try TestCluster.with(nodes: 3) { cluster in
            let forbidden = [
                "-R": "reboot", "--reboot": "reboot", "-H": "halt", "--halt": "halt",
                "-P": "power-off", "--pwroff": "power-off", "--power-off": "power-off",
            ]
            var table = forbidden.sorted { $0.key < $1.key }.map { option, what in
                Case(
                    ["-S", "0", option], status: 1, "",
                    errors: "bpctl: 0: node 0: its slave runs without --allow-\(what)")
            }
            for option in ["-r", "--chroot"] {
                table.append(
                    Case(["-S", "0", option, "/"], status: 1, "", errors: "--allow-chroot"))
            }
            for option in ["-M", "--master"] {
                table.append(
                    Case(
                        [option, "-s", "odd"], status: 1, "",
                        errors: "bpctl: -1: the front end is no node of the table"))
            }
            for option in ["-S", "--slave", "--node"] {
                table.append(Case([option, "0", "-s", "odd"], ""))
            }
            table += [
                Case(["-S", "1", "--state", "even", "-S", "2", "-f", "-s", "odd"], ""),
                Case(["-S", "0", "-m", "110"], ""), Case(["-S", "1", "--mode", "101"], ""),
                Case(["-S", "0", "-u", "1"], ""), Case(["-S", "1", "--user", "2"], ""),
                Case(["-S", "0", "-g", "3"], ""), Case(["-S", "1", "--group", "4"], ""),
                Case(["--debug"], like: #"(?s)master:\n  launches: 0\n.*"#),
                Case(["--debug", "0-1"], like: #"(?s)node 0:\n.*node 1:\n.*"#),
                Case(
                    ["--metrics"],
                    like: #"(?s)# HELP bproc_start.*bproc_nodes\{state="even"\} 1\n.*"#),
                Case(["--metrics", "--debug"], status: 64, "", errors: "stands alone"),
                Case(["-s", "up"], status: 64, "", errors: "Nodes are chosen first"),
                Case(["-S", "99", "-s", "up"], status: 1, "", errors: "99"),
                Case(["-S", "0", "-m", "9"], status: 64, "", errors: "'9' is no mode"),
            ]
            try Self.check("bpctl", table + Self.aboutItself("bpctl"), on: cluster)
            let expected = [
                #"{"node":0,"state":"odd","mode":"110","uid":1,"gid":3}"#,
                #"{"node":1,"state":"even","mode":"101","uid":2,"gid":4}"#,
                #"{"node":2,"state":"odd","mode":"111","uid":0,"gid":0}"#,
            ]
            let shown = try cluster.command("bpstat", ["--json"]).text
            let plain = shown.replacing(/"(address|user|group)":"[^"]*",/, with: "")
            #expect(plain == "[" + expected.joined(separator: ",\n ") + "]\n", "\(shown)")
            // What it does has tests of its own, as have orders that are allowed.
            try Self.expectComplete("bpctl", elsewhere: ["--reconnect"])
        }
    }

    @Test(.enabled(if: geteuid() == 0, "the list is root's to change"))
    func bplib() throws {
        try TestCluster.with(nodes: 1) { cluster in
            try Self.check(
                "bplib",
                [
                    Case(["-l"], ""), Case(["-a", "/lib/a", "/lib/b"], ""),
                    Case(["-l"], "/lib/a\n/lib/b\n"), Case(["-d", "/lib/a"], ""),
                    Case(["--add", "-"], input: "/lib/c\n/lib/d\n", ""),
                    Case(["--list"], "/lib/b\n/lib/c\n/lib/d\n"),
                    Case(["--delete", "-"], input: "/lib/b\n/lib/d\n", ""),
                    Case(["-l"], "/lib/c\n"),
                    Case(["-d", "/lib/x", "/lib/c"], status: 1, "", errors: "/lib/x"),
                    Case(["-l"], ""), Case(["-a", "/lib/e"], ""), Case(["-c"], ""),
                    Case(["-l"], ""), Case(["-a", "/lib/e"], ""), Case(["--clear"], ""),
                    Case(["-l"], ""), Case([], status: 64, "", errors: "Missing one of"),
                ] + Self.aboutItself("bplib"), on: cluster)
            try Self.expectComplete("bplib")
        }
    }
}
