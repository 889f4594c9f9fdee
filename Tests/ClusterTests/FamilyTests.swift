import Glibc
import Testing

extension ClusterTests {
    /// What ranks start on their node: it belongs to the job, but for daemons that have detached.
    @Suite(
        .serialized,
        .enabled(if: geteuid() == 0, "orphans are found in a pid namespace, which takes root"),
        .enabled(if: access("/usr/bin/setsid", X_OK) == 0, "needs setsid"))
    struct Families {
        /// Each leaves something behind, then says "up" and stays.
        private static let scripts: [(script: String, names: [String])] = [
            ("sleep 3001 & echo up; exec sleep 3000", ["sleep 3001"]),
            // A double fork.
            ("(sleep 3001 &); echo up; exec sleep 3000", ["sleep 3001"]),
            // An orphan with children of its own.
            (
                "(sh -c 'sleep 3001 & wait' &); echo up; exec sleep 3000",
                ["sleep 3001", "sh -c sleep 3001 & wait"]
            ),
            // A session of its own below a parent that lives, with an orphan of its own.
            (
                """
                setsid sh -c '(sleep 3001 &); echo up; exec sleep 3002' & exec sleep 3000
                """, ["sleep 3001", "sleep 3002"]
            ),
        ]

        private static func start(
            _ cluster: TestCluster, _ script: String
        ) throws -> Conversation {
            try cluster.startJob("0", "sh", "-c", script, lineCount: 1)
        }

        @Test(arguments: scripts.indices) func areListedAndSignalledAndEnd(which: Int) throws {
            let (script, names) = Self.scripts[which]
            try TestCluster.with(nodes: 1) { cluster in
                let job = try Self.start(cluster, script)
                try cluster.expect("the processes") {
                    cluster.processes(on: 0).count == names.count + 1
                }
                let processes = cluster.processes(on: 0)
                let list = try cluster.command("bpps", ["--node", "0", "--tree"])
                for name in names { #expect(list.text.contains(name), "\(list.text)") }
                // The first line is the head, the second the rank.
                let lines = list.text.split(separator: "\n")
                #expect(lines.count == names.count + 2, "\(list.text)")
                let number = try #require(lines.dropFirst().first?.split(separator: " ").first)
                let signal = try cluster.command("bpkill", ["-STOP", "--job", String(number)])
                #expect(signal.status == 0, "\(signal.errorText)")
                try cluster.expect("all of them stopped") {
                    processes.allSatisfy(\.isStopped)
                }
                // A session whose leader outlives its parent would be a daemon.
                let reach = script.contains("setsid") ? ["--job"] : []
                _ = try cluster.command("bpkill", ["-KILL"] + reach + [String(number)])
                #expect(job.finish(seconds: TestCluster.patience).status == 128 + SIGKILL)
                try cluster.expect("the end of what the rank has left") {
                    !processes.contains(where: \.isRunning)
                }
            }
        }

        /// The job of a node is over with its last rank there.
        @Test func liveAsLongAsARankDoes() throws {
            try TestCluster.with(nodes: 1) { cluster in
                let script = """
                    if [ $BPROC_RANK -eq 0 ]; then (sleep 3001 &); echo gone; exit 0; fi
                    read line; exit 0
                    """
                let job = try cluster.startJob("-L", "0,0", "sh", "-c", script, lineCount: 1)
                try cluster.expect("the end of the first rank") {
                    cluster.processes(on: 0).count == 2
                }
                let list = try cluster.command("bpps", ["--node", "0", "--tree"])
                #expect(list.text.contains("sleep 3001"), "\(list.text)")
                let orphans = cluster.processes(on: 0).filter {
                    TestFile.text("/proc/\($0.pid)/comm") == "sleep\n"
                }
                #expect(orphans.count == 1)
                #expect(job.finish(seconds: TestCluster.patience).status == 0)
                try cluster.expect("the end of the orphan") { cluster.processes(on: 0).isEmpty }
            }
        }

        /// A session of its own, and a parent that has ended: the daemon ends with the slave alone.
        @Test func daemonsAreLeftAlone() throws {
            try TestCluster.with(nodes: 1) { cluster in
                let file = "\(cluster.folder)/tmp/up"
                let script = """
                    setsid sh -c 'echo >\(file); exec sleep 3001' </dev/null >/dev/null 2>&1 &
                    while [ ! -e \(file) ]; do sleep 0.01; done
                    (sleep 3002 &)
                    """
                #expect(try cluster.run("0", "sh", "-c", script).status == 0)
                try cluster.expect("the daemon alone") { cluster.processes(on: 0).count == 1 }
                #expect(try cluster.run("0", "true").status == 0)
                let daemons = cluster.processes(on: 0)
                #expect(daemons.count == 1)
                cluster.slaves[0]?.end()
                try cluster.expect("its end") { !daemons.contains(where: \.isRunning) }
            }
        }
    }
}
