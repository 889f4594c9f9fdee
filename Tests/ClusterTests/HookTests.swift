import Glibc
import Testing

extension ClusterTests {
    /// The site's programs for nodes that come and go, and the configuration that is read again.
    @Suite(.serialized, .enabled(if: geteuid() == 0, "the hooks use nodes that are root's"))
    struct Hooks {
        /// A cluster whose hooks do what a file says at the time.
        private static func with(
            _ body: (TestCluster, String, (String) -> Void) throws -> Void
        ) throws {
            let folder = TestFolder.make("hooks")
            defer { TestFile.removeFolder(folder) }
            let up = TestFile.write(
                "#!/bin/sh\n. \(folder)/behaviour\n", to: "\(folder)/up", mode: 0o755)
            let down = TestFile.write(
                "#!/bin/sh\necho $* >>\(folder)/down.called\n", to: "\(folder)/down", mode: 0o755)
            func behave(_ text: String) {
                _ = TestFile.write(text, to: "\(folder)/behaviour", mode: 0o644)
            }
            behave("echo this is up $*; \(TestCluster.build)/bpsh $1 echo ran on $1\n")
            var shape = TestCluster.Shape(nodeCount: 2)
            shape.master = [
                "--node-up", up, "--node-down", down, "--hook-logs", folder, "--hook-timeout", "3",
            ]
            try TestCluster.with(shape) { try body($0, folder, behave) }
        }

        private static func restart(_ cluster: TestCluster, _ node: Int) throws {
            cluster.slaves[node]?.signal(SIGTERM)
            _ = cluster.slaves[node]?.wait(seconds: TestCluster.patience)
            try cluster.expect("node \(node) down") { state(cluster, node) == "down" }
            try cluster.startSlave(node)
        }

        private static func state(_ cluster: TestCluster, _ node: Int) -> String? {
            (try? cluster.command("bpstat", ["-s", "\(node)"]))?.text.split(separator: "\n").first
                .map(String.init)
        }

        private static func isRunning(_ file: String) -> Bool {
            guard let pid = Int32(TestFile.text(file).filter(\.isNumber)) else { return false }
            return kill(pid, 0) == 0
        }

        /// Leaves a process behind that has gone out of the hook's session.
        private static func hanging(_ folder: String) -> String {
            "setsid sh -c 'echo $$ >\(folder)/far; exec sleep 1000' & sleep 1000\n"
        }

        @Test func aNodeIsUpWhenItsHookHasEnded() throws {
            try Self.with { cluster, folder, behave in
                let log = TestFile.text("\(folder)/node.1")
                #expect(log.contains("this is up 1\n") && log.contains("ran on 1\n"))
                #expect(try cluster.run("1", "echo", "hello").text.contains("hello"))
                behave("exit 3\n")
                try Self.restart(cluster, 1)
                try cluster.expect("state error") { Self.state(cluster, 1) == "error" }
                #expect(cluster.masterLog.contains("node 1: the node-up hook has failed: status 3"))
                try cluster.expect("the way down") {
                    TestFile.text("\(folder)/down.called") == "1\n"
                }
                unlink("\(folder)/up")
                try Self.restart(cluster, 1)
                try cluster.expect("state error") { Self.state(cluster, 1) == "error" }
                #expect(
                    cluster.masterLog.contains(
                        "node 1: the node-up hook cannot be run: \(folder)/up")
                )
                #expect(cluster.upNodes() == [0])
            }
        }

        @Test func aHookThatHangsIsEndedWithAllThatItHasStarted() throws {
            try Self.with { cluster, folder, behave in
                behave(Self.hanging(folder))
                try Self.restart(cluster, 0)
                try cluster.expect("state boot") { Self.state(cluster, 0) == "boot" }
                try cluster.expect("the far process") { Self.isRunning("\(folder)/far") }
                try cluster.expect("state error") { Self.state(cluster, 0) == "error" }
                #expect(cluster.masterLog.contains("it took more than 3 seconds"))
                #expect(!Self.isRunning("\(folder)/far"))
            }
        }

        @Test func aNodeThatLeavesEndsItsHook() throws {
            try Self.with { cluster, folder, behave in
                behave(Self.hanging(folder))
                try Self.restart(cluster, 0)
                try cluster.expect("the far process") { Self.isRunning("\(folder)/far") }
                cluster.slaves[0]?.signal(SIGKILL)
                _ = cluster.slaves[0]?.wait(seconds: TestCluster.patience)
                // Twice down: when it was restarted, and now.
                try cluster.expect("the way down") {
                    TestFile.text("\(folder)/down.called") == "0\n0\n"
                }
                #expect(!Self.isRunning("\(folder)/far"))
                #expect(Self.state(cluster, 0) == "down")
            }
        }

        // MARK: Configuration

        @Test func aReloadDropsNoNodeThatIsStillConfigured() throws {
            let folder = TestFolder.make("reload")
            defer { TestFile.removeFolder(folder) }
            func configure(_ text: String) -> String {
                TestFile.write(text, to: "\(folder)/master.json5", mode: 0o644)
            }
            var shape = TestCluster.Shape(nodeCount: 4)
            shape.master = ["--config", configure("{ nodes: 4, group: { old: '0-1' } }")]
            try TestCluster.with(shape) { cluster in
                #expect(try cluster.run("@old", "echo", "here").text == "here\nhere\n")
                let job = try cluster.startJob(
                    "0,3", "sh", "-c", "echo here; read line; echo got $line", lineCount: 2)
                _ = configure("{ nodes: '0,2-3,7', group: { new: '2-3' } }")
                cluster.master?.signal(SIGHUP)
                try cluster.expect("the other configuration") {
                    cluster.masterLog.contains("has been read again: 4 nodes")
                }
                try cluster.waitUntilUp([0, 2, 3])
                #expect(try cluster.run("@new", "echo", "there").text == "there\nthere\n")
                let old = try cluster.run("1,@old", "echo")
                #expect(old.status != 0 && old.errorText.contains("\n     ^"), "\(old.errorText)")
                _ = configure("{ nodes: 'x' }")
                cluster.master?.signal(SIGHUP)
                try cluster.expect("a refusal") {
                    cluster.masterLog.contains("the configuration stays as it is")
                }
                #expect(cluster.upNodes() == [0, 2, 3])
                // The job has lived through both.
                #expect(job.process.poll() == nil)
                job.process.signal(SIGTERM)
                _ = job.finish(seconds: TestCluster.patience)
            }
        }

        @Test func mistakesAreListedWithTheirPlaces() throws {
            let folder = TestFolder.make("check")
            defer { TestFile.removeFolder(folder) }
            let file = TestFile.write(
                "{ nodes: 4,\n  group: { a: '0-x', b: '1' },\n  coun: 1 }\n", to: "\(folder)/c",
                mode: 0o644)
            try TestCluster.with(nodes: 1) { cluster in
                let check = try cluster.command("bpmaster", ["--check-config", "--config", file])
                #expect(check.status == 64)
                #expect(check.errorText.contains("\(file):2:12: --group 'a': node specification"))
                #expect(check.errorText.contains("\(file):3:3: there is no key 'coun'\n"))
                for name in ["bpmaster", "bpslave"] {
                    let example = "\(Package.root)/etc/\(name).json5"
                    let good = try cluster.command(name, ["--check-config", "--config", example])
                    #expect(good.status == 0, "\(good.errorText)")
                }
            }
        }
    }
}
