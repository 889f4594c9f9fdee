import Glibc
import Testing

extension ClusterTests {
    /// Orders to nodes: what they are allowed to do, they do once they have left.
    @Suite(.serialized, .enabled(if: geteuid() == 0, "only root controls nodes"))
    struct NodeControl {
        /// A command in the place of each way to end a machine; it writes what it was called with.
        static func hook(in folder: String, _ name: String) -> String {
            TestFile.write(
                "#!/bin/sh\necho $* >\(folder)/\(name).called\n", to: "\(folder)/\(name)",
                mode: 0o755)
        }

        @Test func aNodeLeavesBeforeItIsRebooted() throws {
            let folder = TestFolder.make("hooks")
            defer { TestFile.removeFolder(folder) }
            var shape = TestCluster.Shape(nodeCount: 5)
            let ways = [("reboot", "-R", 0), ("halt", "-H", 1), ("power-off", "-P", 2)]
            for (way, _, node) in ways {
                let path = Self.hook(in: folder, way)
                shape.slave[node] = [
                    "--allow-\(way)", "--\(way)-command", "\(path) \(way) now",
                    "--reconnect", "1",
                ]
            }
            shape.slave[3] = ["--allow-halt", "--halt-command", "/no/such/command"]
            try TestCluster.with(shape) { cluster in
                let job = try cluster.startJob(
                    "0,4", "sh", "-c", "echo here; sleep 1000", lineCount: 2)
                for (way, option, node) in ways {
                    let order = try cluster.command("bpctl", ["-S", "\(node)", option])
                    #expect(order.status == 0, "\(order.errorText)")
                    // The master has said so before the command returns.
                    #expect(try cluster.command("bpstat", ["-s", "\(node)"]).text == "down\n")
                    let words = way.replacing("-", with: " ")
                    #expect(cluster.masterLog.contains("node \(node) is down: told to \(words)"))
                    let called = "\(folder)/\(way).called"
                    try cluster.expect("the \(way) command") {
                        TestFile.text(called) == "\(way) now\n"
                    }
                    // The command has taken the slave's place, which does not connect again.
                    #expect(cluster.slaves[node]?.wait(seconds: TestCluster.patience) == 0)
                }
                let isTold = job.serve(seconds: TestCluster.patience) {
                    job.errorText.contains("node 0")
                }
                #expect(isTold, "\(job.errorText)")
                // What cannot be done is refused while the node is still there.
                let missing = try cluster.command("bpctl", ["-S", "3", "-H"])
                #expect(missing.status == 1 && missing.errorText.contains("/no/such/command"))
                let down = try cluster.command("bpctl", ["-S", "0,3", "-R"])
                #expect(down.errorText.contains("0: node 0 is down"))
                #expect(down.errorText.contains("3: node 3: its slave runs without"))
                #expect(cluster.upNodes() == [3, 4])
                job.process.signal(SIGTERM)
                _ = job.finish(seconds: TestCluster.patience)
                try Self.bringBack(cluster)
            }
        }

        /// The machine has rebooted: its slave starts anew, as a fresh node.
        private static func bringBack(_ cluster: TestCluster) throws {
            try cluster.startSlave(0, options: [])
            try cluster.waitUntilUp([0, 3, 4])
            let outcome = try cluster.run("0", "echo", "again")
            #expect(outcome.text == "again\n", "\(outcome.errorText)")
        }

        @Test func aSlaveThatHangsDoesNotHoldTheMasterBack() throws {
            var shape = TestCluster.Shape(nodeCount: 2)
            shape.master = ["--ping-timeout", "2"]
            shape.slaves = ["--allow-halt", "--halt-command", "/bin/true"]
            try TestCluster.with(shape) { cluster in
                cluster.slaves[0]?.signal(SIGSTOP)
                let order = try cluster.conversation("bpctl", ["-S", "0", "-H"])
                #expect(try cluster.run("1", "echo", "here").text == "here\n")
                let outcome = order.finish(seconds: TestCluster.patience)
                #expect(outcome.status == 1, "\(outcome.errorText)")
                #expect(outcome.errorText.contains("0: node 0 ended before it answered"))
            }
        }

        @Test func aNewRootIsForLaterProcesses() throws {
            let root = TestFolder.make("root")
            defer { TestFile.removeFolder(root) }
            _ = TestFile.write("inside\n", to: "\(root)/word")
            try TestCluster.with(
                TestCluster.Shape(nodeCount: 2, slaves: ["--allow-chroot"])
            ) { cluster in
                let early = try cluster.startJob(
                    "0", "sh", "-c", "echo started; read x; ls -d \(root)", lineCount: 1)
                let order = try cluster.command("bpctl", ["-S", "0", "--chroot", root])
                #expect(order.status == 0, "\(order.errorText)")
                let late = try cluster.run("-p", "0,1", "cat", "/word")
                #expect(late.text == "  0: inside\n", "\(late.errorText)")
                let outcome = early.finish(seconds: TestCluster.patience)
                #expect(outcome.text == "started\n\(root)\n", "\(outcome.errorText)")
                let missing = try cluster.command("bpctl", ["-S", "1", "-r", "/no/such/place"])
                #expect(missing.status == 1 && missing.errorText.contains("No such file"))
                #expect(try cluster.run("1", "echo", "still").text == "still\n")
            }
        }
    }
}
