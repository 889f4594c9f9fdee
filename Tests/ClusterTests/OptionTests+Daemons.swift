import Glibc
import Testing

// The daemons, and the command that starts them on one machine.
extension ClusterTests.Options {
    /// Values that an option does not take: the daemon says so, and does not start.
    private static func refusals(_ rows: [([String], String)]) -> [Case] {
        rows.map { Case($0.0 + ["--foreground"], status: 64, "", errors: $0.1) }
    }

    private static let sharedRefusals: [([String], String)] = [
        (["--log-level", "loud"], "'loud' is not a log level"),
        (["--socket-buffer=-1"], "--socket-buffer must be"),
        (["--nice", "99"], "--nice must be -20 to 19"),
        (["--config", "/no/such/file"], "/no/such/file"),
    ]

    /// Arguments that both daemons have, with values under which they run.
    private static func shared(_ folder: String, _ daemon: String, _ config: String) -> [String] {
        [
            "--foreground", "--log-level", "info", "--pid-file", "\(folder)/\(daemon).pid",
            "--insecure-no-authentication", "--no-io-uring", "--socket-buffer", "65536", "--nice",
            "0", "--config", config,
        ]
    }

    @Test func bpmaster() throws {
        let folder = TestFolder.make("options")
        defer { TestFile.removeFolder(folder) }
        let config = TestFile.write("{ group: { b: '1' } }", to: "\(folder)/master.json5")
        var shape = TestCluster.Shape(nodeCount: 0)
        shape.master =
            Self.shared(folder, "master", config) + [
                "--nodes", "0-3", "--metrics", "127.0.0.1:0", "--address", "3=127.0.0.9",
                "--group", "a=0,2", "--node-mode", "110", "--node-owner", "0:0", "--node-up",
                "/bin/true", "--node-down", "/bin/true", "--hook-timeout", "9", "--hook-limit",
                "2", "--hook-logs", folder, "--ping-timeout", "9", "--grace", "0",
                "--stall-timeout",
                "900",
            ]
        try TestCluster.with(shape) { cluster in
            Self.note("bpmaster", shape.master + ["--listen", "--socket"])
            try Self.check(
                "bpstat", [Case(["-n", "@a"], "0\n2\n"), Case(["-n", "@b,3"], "1\n3\n")],
                on: cluster)
            #expect(TestFile.text("\(folder)/master.pid") == "\(cluster.master?.pid ?? 0)\n")
            for line in ["back end: epoll", "metrics at http://127.0.0.1:"] {
                #expect(cluster.masterLog.contains(line), "\(cluster.masterLog)")
            }
            let refusals = Self.refusals(
                Self.sharedRefusals + [
                    (["--listen", "here"], "--listen 'here' is not an address"),
                    (["--metrics", "here"], "--metrics 'here' is not an address"),
                    (["--metrics", "10.1.1.1:9"], "--metrics 10.1.1.1:9 is not a loopback"),
                    (["--nodes", "3-x"], "--nodes '3-x'"),
                    (["--address", "0=here"], "--address '0=here'"),
                    (["--group", "a"], "--group 'a' is not name=nodes"),
                    (["--node-mode", "9"], "--node-mode '9'"),
                    (["--node-owner", "x"], "--node-owner 'x'"),
                    (["--node-up", "up"], "--node-up 'up' does not begin with /"),
                    (["--node-down", "down"], "--node-down 'down' does not begin with /"),
                    (["--hook-timeout", "0"], "--hook-timeout must be 1 to 86400"),
                    (["--hook-limit", "0"], "--hook-limit must be 1 to 1024"),
                    (["--hook-logs", "logs"], "--hook-logs 'logs' does not begin with /"),
                    (["--ping-timeout", "1"], "--ping-timeout must be 2 to 86400"),
                    (["--grace", "86401"], "--grace must be 0 to 86400"),
                    (["--stall-timeout", "1"], "--stall-timeout must be 100 to 3600000"),
                ])
            let judged = [
                Case(["--config", config, "--check-config"], "\(config): nothing is wrong\n"),
                Case(
                    [
                        "--socket", "\(folder)/none/socket", "--listen", "127.0.0.1:0",
                        "--foreground",
                    ], status: 71, "", errors: "listen on \(folder)/none/socket"),
            ]
            try Self.check(
                "bpmaster", refusals + judged + Self.aboutItself("bpmaster", "0.1.0"), on: cluster)
            try Self.expectComplete("bpmaster")
        }
    }

    @Test(.enabled(if: geteuid() == 0, "a root directory is root's to change"))
    func bpslave() throws {
        let folder = TestFolder.make("options")
        defer { TestFile.removeFolder(folder) }
        let config = TestFile.write("{ arena: 65536 }", to: "\(folder)/slave.json5")
        var shape = TestCluster.Shape(nodeCount: 1)
        shape.slaves =
            Self.shared(folder, "slave", config) + [
                "--arena", "1048576", "--arena-slots", "2", "--image-memory",
                "33554432", "--socket", "@options-\(getpid())",
                "--root", "/", "--reconnect", "1", "--allow-chroot", "--allow-reboot",
                "--allow-halt", "--allow-power-off", "--reboot-command", "/bin/true",
                "--halt-command", "/bin/true", "--power-off-command", "/bin/true",
            ]
        try TestCluster.with(shape) { cluster in
            Self.note("bpslave", shape.slaves + ["--node", "--listen"])
            try Self.check(
                "bpsh",
                [Case(["0", "sh", "-c", "echo $BPROC_SOCKET"], "@options-\(getpid())\n")],
                on: cluster)
            try Self.check("bpctl", [Case(["-S", "0", "-r", "/"], "")], on: cluster)
            #expect(TestFile.text("\(folder)/slave.pid") == "\(cluster.slaves[0]?.pid ?? 0)\n")
            #expect(cluster.slaveLog(0).contains("back end: epoll"))
            try cluster.startFrontEnd()
            Self.note("bpslave", ["--front-end"])
            let here = "127.0.0.1"
            let refusals = Self.refusals(
                Self.sharedRefusals.map { ($0.0 + [here], $0.1) } + [
                    (["--master", "here"], "'here' is not an address"),
                    ([], "the master's address is missing"),
                    (["--node", "65536", here], "--node must be 0 to 65535"),
                    (["--front-end", "--node", "1", here], "--front-end has no --node number"),
                    (["--listen", "there", here], "--listen 'there' is not an address"),
                    (["--arena=-1", here], "--arena must be"),
                    (["--arena-slots", "0", here], "--arena-slots must be 1 to 1024"),
                    (["--image-memory", "1", here], "--image-memory must be 0, or 8388608"),
                    (["--socket", "", here], "--socket must have 1 to 107 bytes"),
                    (["--reconnect", "0", here], "--reconnect must be 1 to 86400"),
                    (["10.0.0.1"], "is not a loopback address"),
                ])
            let judged = [
                Case(["--config", config, "--check-config"], "\(config): nothing is wrong\n")
            ]
            try Self.check(
                "bpslave", refusals + judged + Self.aboutItself("bpslave", "0.1.0"), on: cluster)
            try Self.expectComplete("bpslave")
        }
    }

    @Test func bpcluster() throws {
        let folder = TestFolder.make("options")
        defer { TestFile.removeFolder(folder) }
        // The commands run in the environment of a cluster that they do not touch.
        try TestCluster.with(nodes: 1) { cluster in
            let own = "\(folder)/c"
            let start = [
                "--master-binary", "\(TestCluster.build)/bpmaster", "--slave-binary",
                "\(TestCluster.build)/bpslave", "--arena", "1048576", "--log-level",
                "info,relay=debug", "--master-arguments=--node-mode 110",
                "--slave-arguments=--arena-slots 2", "--timeout", "60",
            ]
            try Self.check(
                "bpcluster",
                [
                    Case(
                        ["up", "--local", "2", "--dir", own] + start,
                        like: #"(?s)2 nodes are up after [0-9.]+ s\. .*"#),
                    Case(["status", "--dir", own], like: "(?s).*slaves +2 of 2 running\n.*"),
                    Case(["run", "--dir", own, "bpstat", "-t"], "2\n"),
                    Case(["run", "--dir", own, "sh", "-c", "exit 3"], status: 3, ""),
                    Case(
                        [
                            "bench", "--dir", own, "--fan-out", "1", "--chunk", "65536",
                            "--forward", "--compression", "never", "--nodes", "0-1", "--count",
                            "2", "--mode", "warm", "--program", "/bin/true",
                        ], like: #"(?s)(\{.*"placed_ns":.*\}\n){2}"#),
                    Case(
                        ["bench", "--dir", own, "--mode", "hot", "/bin/true"], status: 64, "",
                        errors: "'hot' is invalid"),
                    Case(["down", "--dir", own], "4 daemons stopped\n"),
                    Case(["run", "--local", "1"] + start + ["bpstat", "-n"], "0\n"),
                    Case(
                        ["demo", "--nodes", "2", "--program", "/bin/true"] + start,
                        like: "(?s).*2.*"),
                ] + Self.aboutItself("bpcluster"), on: cluster)
            try Self.expectComplete("bpcluster")
        }
    }
}
