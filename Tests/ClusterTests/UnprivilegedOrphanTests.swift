import Glibc
import Testing

extension ClusterTests {
    /// What ranks start where the slave is not root: orphans become the slave's own children.
    @Suite(
        .serialized,
        .enabled(if: geteuid() == 0, "becoming another user needs root"),
        .enabled(if: access("/usr/bin/setpriv", X_OK) == 0, "needs setpriv"),
        .enabled(if: access("/usr/bin/setsid", X_OK) == 0, "needs setsid"))
    struct OrphansWithoutPrivileges {
        private static let wrapper = [
            "/usr/bin/setpriv", "--reuid=54321", "--regid=54321", "--clear-groups",
        ]

        private static func with(_ body: (TestCluster) throws -> Void) throws {
            let shape = TestCluster.Shape(nodeCount: 1, slaveWrapper: [0: wrapper])
            try TestCluster.with(shape) { cluster in
                chmod("\(cluster.folder)/tmp", 0o777)
                try body(cluster)
            }
        }

        /// A rank of the slave's user, once it has said "up" and there are so many processes.
        private static func start(
            _ cluster: TestCluster, _ script: String, count: Int
        ) throws -> (job: Conversation, processes: [RunningProcess]) {
            let words = wrapper + ["\(TestCluster.build)/bpsh", "0", "sh", "-c", script]
            let job = try cluster.conversation(words[0], Array(words.dropFirst()), input: nil)
            let isUp = job.serve(seconds: TestCluster.patience) {
                job.text == "up\n" || job.process.poll() != nil
            }
            #expect(isUp && job.process.status == nil)
            try cluster.expect("\(count) processes") {
                cluster.processes(on: 0).count == count
            }
            return (job, cluster.processes(on: 0))
        }

        @Test(arguments: [
            "(sleep 3001 &); echo up; exec sleep 3000",
            "(sh -c 'sleep 3001 & wait' &); echo up; exec sleep 3000",
        ])
        func areListedAndSignalledAndEnd(_ script: String) throws {
            try Self.with { cluster in
                let count = script.contains("wait") ? 3 : 2
                let (job, processes) = try Self.start(cluster, script, count: count)
                let list = try cluster.command("bpps", ["--node", "0", "--tree"])
                #expect(list.text.contains("sleep 3001"), "\(list.text)")
                let lines = list.text.split(separator: "\n")
                #expect(lines.count == count + 1, "\(list.text)")
                let number = try #require(lines.dropFirst().first?.split(separator: " ").first)
                let signal = try cluster.command("bpkill", ["-STOP", "--job", String(number)])
                #expect(signal.status == 0, "\(signal.errorText)")
                try cluster.expect("all of them stopped") { processes.allSatisfy(\.isStopped) }
                _ = try cluster.command("bpkill", ["-KILL", String(number)])
                #expect(job.finish(seconds: TestCluster.patience).status == 128 + SIGKILL)
                try cluster.expect("the end of what the rank has left") {
                    !processes.contains(where: \.isRunning)
                }
            }
        }

        /// They are buried: nobody else waits for them.
        @Test func leaveNoZombies() throws {
            try Self.with { cluster in
                let script = "for i in 1 2 3; do (sleep 0 &); done; echo up; exec sleep 3000"
                let (job, _) = try Self.start(cluster, script, count: 1)
                job.process.signal(SIGKILL)
                _ = job.finish(seconds: TestCluster.patience)
                try cluster.expect("an empty node") { cluster.processes(on: 0).isEmpty }
            }
        }

        /// A daemon is left alone as long as the slave lives, and ends with it.
        @Test func daemonsEndWithTheSlave() throws {
            try Self.with { cluster in
                let script = """
                    setsid sleep 3001 </dev/null >/dev/null 2>&1 & echo up; read line; exit 0
                    """
                let (job, processes) = try Self.start(cluster, script, count: 2)
                #expect(job.finish(seconds: TestCluster.patience).status == 0)
                try cluster.expect("the daemon alone") { cluster.processes(on: 0).count == 1 }
                cluster.slaves[0]?.signal(SIGTERM)
                try cluster.expect("its end") { !processes.contains(where: \.isRunning) }
            }
        }

        /// What has made no session of its own does not outlive a slave that is killed.
        @Test func nothingOutlivesASlaveThatIsKilled() throws {
            try Self.with { cluster in
                let script = "(sleep 3001 &); sleep 3002 & echo up; exec sleep 3000"
                let (job, processes) = try Self.start(cluster, script, count: 3)
                cluster.slaves[0]?.end()
                try cluster.expect("the end of all of them") {
                    !processes.contains(where: \.isRunning)
                }
                _ = job.finish(seconds: TestCluster.patience)
            }
        }
    }
}
