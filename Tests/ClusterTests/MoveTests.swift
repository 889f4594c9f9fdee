import Glibc
import Testing

extension ClusterTests {
    /// Processes that move from node to node.
    @Suite(
        .serialized,
        .enabled(if: access("/usr/bin/cc", X_OK) == 0, "needs /usr/bin/cc"))
    struct Moves {
        private static func with(
            _ body: (TestCluster, String) throws -> Void
        ) throws {
            let programs = Programs()
            defer { programs.remove() }
            let program = try programs.compileCaller("moves.c")
            try TestCluster.with(nodes: 2) { cluster in
                chmod("\(cluster.folder)/tmp", 0o777)
                try body(cluster, program)
            }
        }

        private static let numbers = (1...100).map { "\($0)\n" }.joined()

        /// The pid is the front end's, and nothing stays where the process has been.
        @Test(
            .enabled(if: geteuid() == 0, "slaves that give pids are root"),
            arguments: ["many", "alone"])
        func aHundredLeaveOneProcess(_ name: String) throws {
            try Self.with { cluster, program in
                let folder = cluster.openFolder(name)
                let job = try cluster.conversation(program, [name, folder], input: nil)
                let isThere = job.serve(seconds: TestCluster.patience) {
                    access("\(folder)/moved", F_OK) == 0 || job.process.poll() != nil
                }
                #expect(isThere && TestFile.text("\(folder)/moved") == "0\n", "\(job.text)")
                try cluster.expect("one process on both nodes") {
                    (0..<2).reduce(0) { $0 + cluster.processes(on: $1).count } == 1
                }
                let list = try cluster.command("bpps", [])
                #expect(list.text.split(separator: "\n").count == 2, "\(list.text)")
                let books = try cluster.command("bpctl", ["--debug"])
                #expect(books.text.contains("running ranks: "), "\(books.text)")
                TestFile.write("", to: "\(folder)/counted")
                let outcome = job.finish(seconds: TestCluster.patience)
                let isChild = name == "many"
                #expect(outcome.status == (isChild ? 0 : 42))
                #expect(outcome.text == Self.numbers + (isChild ? "many: right\n" : ""))
            }
        }

        @Test(.enabled(if: geteuid() == 0, "slaves that give pids are root"))
        func areSeenByTheParent() throws {
            try Self.with { cluster, program in
                for name in [
                    "stops", "signals", "storm", "killed", "failed", "redirected", "orphans", "own",
                    "away",
                ] {
                    let outcome = try cluster.command(
                        program, [name, cluster.openFolder(name)])
                    #expect(outcome.status == 0, "\(outcome.errorText)")
                    #expect(outcome.text.hasSuffix("\(name): right\n"), "\(outcome.text)")
                }
            }
        }
    }
}
