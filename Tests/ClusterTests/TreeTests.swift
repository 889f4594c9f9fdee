import Glibc
import Testing

extension ClusterTests {
    /// Processes on nodes that fork onto nodes.
    @Suite(
        .serialized,
        .enabled(if: access("/usr/bin/cc", X_OK) == 0, "needs /usr/bin/cc"),
        .enabled(if: geteuid() == 0, "slaves that give pids are root"))
    struct Trees {
        /// Every process has the pid that its parent was told, and every status is right.
        @Test func sixLevelsOfForksAcrossNodes() throws {
            let programs = Programs()
            defer { programs.remove() }
            let program = try programs.compileCaller("tree.c")
            try TestCluster.with(nodes: 16) { cluster in
                let folder = "\(cluster.folder)/tmp"
                let outcome = try cluster.command(program, ["6", "16", folder])
                for name in TestFile.names(in: folder) where name.hasSuffix(".failed") {
                    Issue.record("\(TestFile.text("\(folder)/\(name)"))")
                }
                #expect(outcome.text == "127 processes\n", "\(outcome.errorText)")
            }
        }
    }
}
