import Glibc
import Testing

extension ClusterTests {
    /// One pid on every machine, and what becomes of processes that nobody waits for.
    @Suite(
        .serialized,
        .enabled(if: access("/usr/bin/cc", X_OK) == 0, "needs /usr/bin/cc"),
        .enabled(if: geteuid() == 0, "slaves that give pids are root"))
    struct Pids {
        private static func with(
            _ shape: TestCluster.Shape, _ body: (TestCluster, String) throws -> Void
        ) throws {
            let programs = Programs()
            defer { programs.remove() }
            let program = try programs.compileCaller("pids.c")
            try TestCluster.with(shape) { cluster in
                chmod("\(cluster.folder)/tmp", 0o777)
                try body(cluster, program)
            }
        }

        @Test func areTheSameOnEveryMachine() throws {
            try Self.with(TestCluster.Shape(nodeCount: 4)) { cluster, program in
                for name in ["same", "signals", "orphans"] {
                    try cluster.expectRight(name, of: program)
                }
            }
        }

        /// The node holds the pids that the front end gives next.
        @Test func thatAreTakenAreNotGiven() throws {
            try Self.with(TestCluster.Shape(nodeCount: 4)) { cluster, program in
                for name in ["taken", "forked", "exhausted"] {
                    try cluster.expectRight(name, of: program)
                }
                let folder = try cluster.expectRight("moved", of: program)
                #expect(
                    cluster.masterLog.contains(
                        "node 3, rank 0: spawn: the pid that it has on the front end is taken"))
                #expect(TestFile.text("\(folder)/moved") == "0\n")
                #expect(cluster.slaveLog(0).contains("runs under another pid here"))
            }
        }

        /// Ranks of bpsh have the ghosts that they have, so such a one runs under another pid.
        @Test func thatAreTakenAreReportedByBpsh() throws {
            try Self.with(TestCluster.Shape(nodeCount: 2)) { cluster, program in
                let folder = cluster.openFolder("holders")
                var text = ""
                for attempt in 0..<8 where text.isEmpty {
                    // The holders have pids of this machine as well, which come first.
                    let here = try cluster.command("/bin/sh", ["-c", "echo $$"]).text
                    let next = try #require(Int(here.dropLast()))
                    let file = "\(folder)/\(attempt)"
                    let holder = try cluster.conversation(
                        "bpsh",
                        ["1", program, "rank", "hold", file, "\(next + 400)", "400"], input: nil)
                    try cluster.expect("the holders") { !TestFile.text(file).isEmpty }
                    let outcome = try cluster.run("0,1", "true")
                    #expect(outcome.status == 0, "\(outcome.errorText)")
                    text = outcome.errorText
                    holder.process.signal(SIGTERM)
                    _ = holder.finish(seconds: TestCluster.patience)
                }
                let start =
                    "bpsh: 1 of 2 ranks run under other pids on their nodes, where theirs are taken"
                #expect(text.hasPrefix(start + "; the first is "), "\(text)")
                #expect(text.hasSuffix(" on node 1\n") && text.split(separator: "\n").count == 1)
                #expect(cluster.slaveLog(1).contains("runs under another pid here"))
            }
        }

        @Test func travelWithTheirProcess() throws {
            try Self.with(TestCluster.Shape(nodeCount: 5)) { cluster, program in
                let job = try cluster.command(program, ["journey", "\(cluster.folder)/tmp"])
                #expect(job.status == 0, "\(job.text)\(job.errorText)")
                #expect(TestFile.text("\(cluster.folder)/tmp/journey") == "0\n", "\(job.text)")
                for node in 0..<5 {
                    #expect(!cluster.slaveLog(node).contains("runs under another pid"))
                }
            }
        }

        /// Home too; and by that pid it is reached from another node.
        @Test func areTheSameAtHomeAndEverywhere() throws {
            try Self.with(TestCluster.Shape(nodeCount: 5)) { cluster, program in
                try cluster.startFrontEnd()
                let job = try cluster.conversation(
                    program, ["roam", "\(cluster.folder)/tmp"], input: nil)
                let isThere = job.serve(seconds: TestCluster.patience) {
                    job.text.split(separator: "\n").count == 7 || job.process.poll() != nil
                }
                let pid = "\(job.process.pid)"
                #expect(isThere && job.text == String(repeating: pid + "\n", count: 7))
                let kill = try cluster.run("1", "\(TestCluster.build)/bpkill", pid)
                #expect(kill.status == 0, "\(kill.errorText)")
                #expect(job.finish(seconds: TestCluster.patience).status == 128 + SIGTERM)
            }
        }

        @Test(.enabled(if: access("/usr/bin/setpriv", X_OK) == 0, "needs setpriv"))
        func ofASlaveThatIsNotRootAreItsOwn() throws {
            let wrapper = ["/usr/bin/setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"]
            let shape = TestCluster.Shape(nodeCount: 1, slaveWrapper: [0: wrapper])
            try Self.with(shape) { cluster, program in
                try cluster.expectRight("rootless", of: program, through: wrapper)
                #expect(
                    cluster.slaveLog(0).contains(
                        "this slave is not root: processes here have pids that differ"))
            }
        }

        /// Whatever the ranks have left on the node, in sessions of its own too.
        @Test func nothingOutlivesTheSlave() throws {
            try TestCluster.with(nodes: 2) { cluster in
                let script = "setsid sleep 3000 & (sleep 3001 &) ; echo up; exec sleep 3002"
                let job = try cluster.conversation("bpsh", ["0", "sh", "-c", script], input: nil)
                let isUp = job.serve(seconds: TestCluster.patience) { job.text == "up\n" }
                #expect(isUp)
                try cluster.expect("three processes") { cluster.processes(on: 0).count == 3 }
                let processes = cluster.processes(on: 0)
                cluster.slaves[0]?.end()
                try cluster.expect("the end of all of them") {
                    !processes.contains(where: \.isRunning)
                }
                _ = job.finish(seconds: TestCluster.patience)
            }
        }

        /// Who kills the namespace's first process ends what is in it, and the next has a new one.
        @Test func aNamespaceThatHasEndedIsReplaced() throws {
            try TestCluster.with(nodes: 1) { cluster in
                let job = try cluster.conversation("bpsh", ["0", "sleep", "3000"], input: nil)
                try cluster.expect("the rank") { cluster.processes(on: 0).count == 1 }
                let slave = try #require(cluster.slaves[0])
                let initial = RunningProcess.descendants(of: [slave.pid]).filter(\.isInitial)
                #expect(initial.count == 1)
                for process in initial { kill(process.pid, SIGKILL) }
                #expect(job.finish(seconds: TestCluster.patience).status == 128 + SIGKILL)
                #expect(try cluster.run("0", "echo", "again").text == "again\n")
            }
        }
    }
}
