import Glibc
import Testing

extension ClusterTests {
    /// What becomes of children on nodes when their caller ends, for programs that are built with
    /// the installed library.
    @Suite(
        .serialized,
        .enabled(if: InstalledLibrary.hasTools, "needs make, a C compiler, binutils"))
    struct Orphans {
        static let cases = [
            "living", "ending", "both", "jobs", "group", "output", "stream", "moved", "local",
        ]

        private static func with(
            _ shape: TestCluster.Shape, _ body: (TestCluster, String) throws -> Void
        ) throws {
            try InstalledLibrary.with { library in
                let program = try library.compile(
                    "\(Package.root)/Tests/Programs/orphans.c", as: .sharedC)
                try TestCluster.with(shape) { cluster in
                    chmod("\(cluster.folder)/tmp", 0o777)
                    try body(cluster, program)
                }
            }
        }

        @Test func liveOnOrEndAsTheyWereToldTo() throws {
            try Self.with(TestCluster.Shape(nodeCount: 2)) { cluster, program in
                for name in Self.cases { try cluster.expectRight(name, of: program) }
            }
        }

        private static let asUser = [
            "/usr/bin/setpriv", "--reuid=54321", "--regid=54321", "--clear-groups",
        ]

        @Test(
            .enabled(
                if: geteuid() == 0 && access("/usr/bin/setpriv", X_OK) == 0,
                "becoming another user needs root and setpriv"))
        func anOrdinaryUserAndSlavesThatAreNotRoot() throws {
            try Self.with(TestCluster.Shape(nodeCount: 2)) { cluster, program in
                for name in ["living", "ending", "output"] {
                    try cluster.expectRight(name, of: program, through: Self.asUser)
                }
            }
            let rootless = TestCluster.Shape(
                nodeCount: 2, slaveWrapper: [0: Self.asUser, 1: Self.asUser])
            try Self.with(rootless) { cluster, program in
                for name in ["living", "ending", "stream"] {
                    try cluster.expectRight(name, of: program, through: Self.asUser)
                }
            }
        }

        /// The numbers of the processes that bpps lists.
        private static func listed(_ cluster: TestCluster) throws -> [String] {
            try cluster.command("bpps", []).text.split(separator: "\n").dropFirst()
                .compactMap { $0.split(separator: " ").first.map(String.init) }
        }

        /// With whoever adopts orphans here: the commands know them, and end them.
        @Test func areReachedByTheCommands() throws {
            try Self.with(TestCluster.Shape(nodeCount: 2)) { cluster, program in
                let caller = try cluster.command(
                    program, ["caller", "\(cluster.folder)/tmp/caller-"])
                #expect(caller.status == 0, "\(caller.errorText)")
                let pids = caller.text.split(separator: " ").flatMap {
                    $0.split(separator: "\n").map(String.init)
                }
                #expect(try Set(Self.listed(cluster)) == Set(pids))
                let status = try cluster.command("bpstat", ["-p"])
                for pid in pids { #expect(status.text.contains(pid), "\(status.text)") }
                let kill = try cluster.command("bpkill", ["-KILL"] + pids)
                #expect(kill.status == 0, "\(kill.errorText)")
                try cluster.expect("the end of the orphans") {
                    cluster.processes(on: 1).isEmpty
                }
            }
        }

        /// What a process on a node has started elsewhere is its job's, as its forks are, where a
        /// slave looks for orphans; elsewhere it stays as it does on the front end.
        @Test(
            .enabled(if: geteuid() == 0, "orphans are found in a pid namespace, which takes root"))
        func ofACallerOnANodeEndWithItsJob() throws {
            try Self.with(TestCluster.Shape(nodeCount: 2)) { cluster, program in
                let caller = try cluster.run(
                    "0", program, "caller", "\(cluster.folder)/tmp/caller-")
                #expect(caller.status == 0, "\(caller.errorText)")
                try cluster.expect("the end of the caller's ranks") {
                    cluster.processes(on: 0).isEmpty && cluster.processes(on: 1).isEmpty
                }
            }
        }

        /// A launcher that is killed leaves nothing behind.
        @Test func commandsTakeTheirRanksWithThem() throws {
            try TestCluster.with(nodes: 2) { cluster in
                let job = try cluster.startJob(
                    "0-1", "sh", "-c", "echo up; exec sleep 3000", lineCount: 2)
                job.process.signal(SIGKILL)
                try cluster.expect("the end of all ranks") {
                    (0..<2).allSatisfy { cluster.processes(on: $0).isEmpty }
                }
            }
        }
    }
}
