import Glibc
import Testing

extension ClusterTests {
    /// Who owns a node changes it from where his programs run.
    @Suite(.serialized) struct Owners {
        @Test(
            .enabled(
                if: geteuid() == 0 && access("/usr/bin/setpriv", X_OK) == 0,
                "needs root and setpriv"))
        func anOwnerChangesHisNodeFromANode() throws {
            let folder = TestFolder.make("owner")
            defer { TestFile.removeFolder(folder) }
            let program = try Self.program(in: folder)
            try TestCluster.with(nodes: 3) { cluster in
                // Root, from node 0, gives node 1 away; node 2 is root's alone.
                let root = try cluster.run("0", program, "root", "1", "54321")
                #expect(root.status == 0 && root.text == "0 failures\n", "\(root.text)")
                let mode = try cluster.command("bpctl", ["-S", "2", "-m", "100"])
                #expect(mode.status == 0, "\(mode.errorText)")
                // The owner is on a node that is not his.
                let owner = try cluster.command(
                    "/usr/bin/setpriv",
                    ["--reuid=54321", "--regid=54321", "--groups=54322"]
                        + ["\(TestCluster.build)/bpsh", "0", program, "user", "1", "2", "54322"])
                #expect(owner.status == 0, "\(owner.errorText)")
                #expect(owner.text == "0 failures\n", "\(owner.text)")
                let shown = try cluster.command("bpstat", ["-l", "1"]).text
                    .split(separator: "\n").last?.split(separator: " ").suffix(4)
                #expect(shown == ["up", "---x------", "#54321", "#54322"])
            }
        }

        /// Orders as well, as far as the slaves allow them: the answers come back to the node.
        @Test(.enabled(if: geteuid() == 0, "only root controls nodes"))
        func rootOrdersNodesAboutFromANode() throws {
            let folder = TestFolder.make("orders")
            defer { TestFile.removeFolder(folder) }
            let program = try Self.program(in: folder)
            let hook = NodeControl.hook(in: folder, "halt")
            _ = TestFile.write("inside\n", to: "\(folder)/word")
            var shape = TestCluster.Shape(nodeCount: 3)
            shape.slaves = ["--allow-chroot", "--allow-halt"]
            // The own node has another root by then.
            shape.slave = [
                0: ["--halt-command", "/owner"], 2: ["--halt-command", "\(hook) halt now"],
            ]
            try TestCluster.with(shape) { cluster in
                let orders = try cluster.run(
                    "0", program, "orders", "1", "2", folder, cluster.masterAddress,
                    "\(cluster.port)")
                #expect(orders.status == 0 && orders.text == "0 failures\n", "\(orders.text)")
                #expect(cluster.masterLog.contains("node 2 is down: told to halt"))
                try cluster.expect("the halt command") {
                    TestFile.text("\(folder)/halt.called") == "halt now\n"
                }
                let late = try cluster.run("-p", "0,1", "cat", "/word")
                #expect(late.sortedLines == ["  0: inside", "  1: inside"], "\(late.errorText)")
                // The node that the caller runs on is no other: it goes, and the caller with it.
                let last = try cluster.run("0", program, "halt")
                #expect(last.status == 128 + SIGKILL || last.status == 0, "\(last)")
                #expect(cluster.upNodes() == [1])
            }
        }

        /// - Returns: the program's path, which every user may execute.
        private static func program(in folder: String) throws -> String {
            let programs = Programs()
            defer { programs.remove() }
            let library = try programs.library()
            let includes = ["CBProc", "CLocalProtocol"].map {
                "-I\(Package.root)/Sources/\($0)/include"
            }
            let compiled = try programs.compile(
                "owner.c", with: "/usr/bin/cc", ["-O1", "-static"] + includes,
                libraries: [library])
            let bytes = try #require(TestFile.read(compiled))
            let program = "\(folder)/owner"
            TestFile.write(bytes, to: program, mode: 0o755)
            return program
        }
    }
}
