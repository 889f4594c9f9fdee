import Glibc
import Testing

extension ClusterTests {
    /// Remote processes as real children of their caller.
    @Suite(
        .serialized,
        .enabled(if: access("/usr/bin/cc", X_OK) == 0, "needs /usr/bin/cc"))
    struct Ghosts {
        static let cases = [
            "statuses", "place", "signals", "stops", "mirror", "storm", "any", "failures",
            "ignored", "threads",
            "group", "server", "forks", "output", "claims", "relatives",
        ]

        /// The program with the library of this build.
        static func with(
            nodes: Int, _ body: (TestCluster, String) throws -> Void
        ) throws {
            let programs = Programs()
            defer { programs.remove() }
            let program = try programs.compileCaller("ghosts.c")
            try TestCluster.with(nodes: nodes) { cluster in
                chmod("\(cluster.folder)/tmp", 0o777)
                try body(cluster, program)
            }
        }

        /// No rank is left on a node, and no server or holder of ghosts on this machine.
        private static func expectNothingLeft(_ cluster: TestCluster) throws {
            try cluster.expect("the end of all ranks") {
                (0..<2).allSatisfy { cluster.processes(on: $0).isEmpty }
            }
        }

        @Test func childrenAreWhatTheyStandFor() throws {
            try Self.with(nodes: 2) { cluster, program in
                for name in Self.cases { try cluster.expectRight(name, of: program) }
                try Self.expectNothingLeft(cluster)
            }
        }

        @Test(
            .enabled(
                if: geteuid() == 0 && access("/usr/bin/setpriv", X_OK) == 0,
                "becoming another user needs root and setpriv"))
        func anOrdinaryUserHasThemToo() throws {
            let wrapper = ["/usr/bin/setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"]
            try Self.with(nodes: 2) { cluster, program in
                for name in Self.cases {
                    try cluster.expectRight(name, of: program, through: wrapper)
                }
                try Self.expectNothingLeft(cluster)
            }
        }

        /// A caller with two ranks that stay; it prints their statuses.
        static func family(
            _ cluster: TestCluster, _ program: String
        ) throws -> Conversation {
            let job = try cluster.conversation(program, ["family"], input: nil)
            let isThere = job.serve(seconds: TestCluster.patience) {
                job.text == "ready\n" || job.process.poll() != nil
            }
            guard isThere, job.process.status == nil else {
                throw TestCluster.Failure(description: "it did not start: \(job.text)")
            }
            return job
        }

        /// The ranks of a node die with it, and those of all nodes with the master.
        @Test func deathsOfDaemonsAreDeathsOfGhosts() throws {
            try Self.with(nodes: 2) { cluster, program in
                let job = try Self.family(cluster, program)
                cluster.slaves[0]?.end()
                cluster.slaves[1]?.end()
                let outcome = job.finish(seconds: TestCluster.patience)
                #expect(outcome.status == 0)
                #expect(outcome.text == "ready\n9 9\nlost 0 1\ncause 1 1\nfamily: right\n")
            }
            try Self.with(nodes: 2) { cluster, program in
                let job = try Self.family(cluster, program)
                cluster.master?.end()
                let outcome = job.finish(seconds: TestCluster.patience)
                #expect(outcome.status == 0)
                #expect(outcome.text == "ready\n9 9\nlost -1 -1\ncause -1 -1\nfamily: right\n")
            }
        }

        /// The ranks go on under another master; for their caller they have ended, and it can ask
        /// why.
        @Test(.enabled(if: geteuid() == 0, "only root controls nodes"))
        func nodesThatLeaveEndTheGhosts() throws {
            try Self.with(nodes: 2) { cluster, program in
                let shape = TestCluster.Shape(nodeCount: 1, master: ["--nodes", "2"])
                try TestCluster.with(shape) { other in
                    let job = try Self.family(cluster, program)
                    let below = cluster.processes(on: 1)
                    let way = "\(other.masterAddress):\(other.port)"
                    let order = try cluster.command("bpctl", ["-S", "1", "--reconnect", way])
                    #expect(order.status == 0, "\(order.errorText)")
                    try other.waitUntilUp([0, 1])
                    #expect(!below.isEmpty && !below.contains { !$0.isRunning })
                    cluster.slaves[0]?.end()
                    let outcome = job.finish(seconds: TestCluster.patience)
                    #expect(outcome.status == 0)
                    #expect(
                        outcome.text == "ready\n9 9\nlost 0 1\ncause 1 2\nfamily: right\n")
                    #expect(!below.contains { !$0.isRunning })
                    // Nobody waits for it there: it is ended like any process of the list.
                    let kill = try other.command("bpkill", ["-9"] + (try other.processNumbers()))
                    #expect(kill.status == 0, "\(kill.errorText)")
                    try other.expect("the end of the rank") {
                        !below.contains(where: \.isRunning)
                    }
                }
            }
        }

        /// The children of a caller on a node are there.
        @Test func aProgramOnANodeHasThemThere() throws {
            try Self.with(nodes: 2) { cluster, program in
                let folder = cluster.openFolder("node")
                for name in ["statuses", "signals", "any", "failures"] {
                    let outcome = try cluster.run("0", program, name, folder)
                    #expect(outcome.text == "\(name): right\n", "\(outcome.errorText)")
                }
            }
        }
    }
}
