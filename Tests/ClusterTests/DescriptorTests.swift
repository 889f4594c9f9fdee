import Glibc
import Testing

extension ClusterTests {
    /// The I/O set-up of a C program, and ranks that wait for each other.
    @Suite(
        .serialized,
        .enabled(if: InstalledLibrary.hasTools, "needs make and a C compiler"))
    struct Descriptors {
        private static func withProgram(_ body: (String) throws -> Void) throws {
            try InstalledLibrary.with { library in
                let source = "\(Package.root)/Tests/Programs/descriptors.c"
                try body(library.compile(source, as: .sharedC))
            }
        }

        @Test func everyKindOfDescriptor() throws {
            try Self.withProgram { program in
                try TestCluster.with(nodes: 2) { cluster in
                    for what in ["files", "failures", "refusals", "none", "delayed"] {
                        let outcome = try cluster.command(program, [what, cluster.folder])
                        #expect(outcome.text == "well\n", "\(what): \(outcome.errorText)")
                    }
                    #expect(cluster.masterLog.contains("I/O set-up: the file for descriptor 0"))
                    #expect(
                        (0...1).contains {
                            cluster.slaveLog($0).contains(
                                "after its start: the file for descriptor 1 could not be opened")
                        })
                }
            }
        }

        /// A rank whose own descriptors never come waits alone: its daemon goes on.
        @Test func aFileThatNeverOpens() throws {
            try TestCluster.with(nodes: 1) { cluster in
                let pipe = "\(cluster.folder)/pipe"
                #expect(mkfifo(pipe, 0o666) == 0)
                try Self.withProgram { program in
                    let source = try #require(cluster.slaves[0])
                    let stuck = try cluster.conversation(
                        program, ["stuck", cluster.folder], input: [])
                    try cluster.expect("the rank") { cluster.processes(on: 0).count == 1 }
                    #expect(try cluster.run("0", "echo", "well").text == "well\n")
                    #expect(source.poll() == nil && stuck.process.poll() == nil)
                    // Its caller's end is the rank's, whatever it waits for.
                    stuck.process.end()
                    try cluster.expect("its end") { cluster.processes(on: 0).isEmpty }
                }
            }
        }

        /// Runs `hold` with node 1 stopped, so that the rank on node 0 is placed alone.
        private static func withHeldRank(
            _ body: (TestCluster, Conversation, [RunningProcess]) throws -> Void
        ) throws {
            try Self.withProgram { program in
                let shape = TestCluster.Shape(nodeCount: 2, master: ["--stall-timeout", "60000"])
                try TestCluster.with(shape) { cluster in
                    cluster.slaves[1]?.signal(SIGSTOP)
                    let job = try cluster.conversation(
                        program, ["hold", cluster.folder], input: [])
                    try cluster.expect("the rank on node 0") {
                        cluster.processes(on: 0).count == 1
                    }
                    // Long enough for one that does not wait.
                    usleep(300_000)
                    #expect(access("\(cluster.folder)/started", F_OK) != 0)
                    try body(cluster, job, cluster.processes(on: 0))
                }
            }
        }

        @Test func heldRanksStartAfterTheLastIsPlaced() throws {
            try Self.withHeldRank { cluster, job, _ in
                cluster.slaves[1]?.signal(SIGCONT)
                let outcome = job.finish(seconds: TestCluster.patience)
                #expect(outcome.text == "well\n", "\(outcome.errorText)")
                #expect(TestFile.text("\(cluster.folder)/started") == "started\nstarted\n")
            }
        }

        @Test func aHeldRankEndsWithItsCaller() throws {
            try Self.withHeldRank { cluster, job, held in
                job.process.end()
                try cluster.expect("the end of the held rank") {
                    !held.contains(where: \.isRunning)
                }
                #expect(access("\(cluster.folder)/started", F_OK) != 0)
            }
        }

        @Test func aHeldRankEndsWithItsSlave() throws {
            try Self.withHeldRank { cluster, job, held in
                cluster.slaves[0]?.end()
                try cluster.expect("the end of the held rank") {
                    !held.contains(where: \.isRunning)
                }
                job.process.end()
                #expect(access("\(cluster.folder)/started", F_OK) != 0)
            }
        }
    }
}
