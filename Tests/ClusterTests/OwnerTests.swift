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
            let programs = Programs()
            defer { programs.remove() }
            let library = try programs.library()
            let includes = ["CBProc", "CLocalProtocol"].map {
                "-I\(Package.root)/Sources/\($0)/include"
            }
            let compiled = try programs.compile(
                "owner.c", with: "/usr/bin/cc", ["-O1", "-static"] + includes,
                libraries: [library])
            let folder = TestFolder.make("owner")
            defer { TestFile.removeFolder(folder) }
            let bytes = try #require(TestFile.read(compiled))
            let program = "\(folder)/owner"
            TestFile.write(bytes, to: program, mode: 0o755)
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
    }
}
