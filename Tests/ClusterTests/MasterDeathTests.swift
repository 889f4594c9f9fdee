import Glibc
import Testing

extension ClusterTests {
    /// The master is killed: what those hear who have business with it.
    @Suite(.serialized, .enabled(if: geteuid() == 0, "only root controls nodes"))
    struct MasterDeath {
        /// The ranks that have started wait for another master, and callers are told so.
        @Test func withAGraceTheProcessesAreKept() throws {
            let shape = TestCluster.Shape(nodeCount: 1, master: ["--grace", "1000"])
            try TestCluster.with(shape) { cluster in
                let job = try cluster.startJob(
                    "0", "sh", "-c", "echo here; sleep 1000", lineCount: 1)
                let below = cluster.processes(on: 0)
                cluster.master?.signal(SIGKILL)
                let outcome = job.finish(seconds: TestCluster.patience)
                #expect(outcome.status == 255)
                #expect(
                    outcome.errorText
                        == """
                        bpsh: the connection to the daemon at \(cluster.socket) is lost; the job's \
                        processes on the nodes are ended, unless another master takes them within \
                        1000 s

                        """)
                // It is as the sentence says: another master has them.
                cluster.master?.end()
                try cluster.startMaster()
                try cluster.waitUntilUp([0])
                #expect(!below.isEmpty && !below.contains { !$0.isRunning })
                let kill = try cluster.command("bpkill", ["-9"] + (try cluster.processNumbers()))
                #expect(kill.status == 0, "\(kill.errorText)")
                try cluster.expect("the end of the processes") {
                    !below.contains(where: \.isRunning)
                }
            }
        }

        @Test func everyCommandSaysWhatIsLost() throws {
            let folder = TestFolder.make("copy")
            defer { TestFile.removeFolder(folder) }
            let file = TestFile.write("some text\n", to: "\(folder)/file")
            try TestCluster.with(nodes: 2) { cluster in
                let job = try cluster.startJob(
                    "0", "sh", "-c", "echo here; sleep 1000", lineCount: 1)
                let below = cluster.processes(on: 0)
                let follower = try cluster.conversation("bpstat", ["-U", "-n"], input: nil)
                let isShown = follower.serve(seconds: TestCluster.patience) {
                    follower.text.contains("1\n")
                }
                #expect(isShown)
                // A node that answers nobody keeps these waiting.
                cluster.slaves[1]?.signal(SIGSTOP)
                let launches = cluster.masterLog.matches(of: /ranks for user/).count
                let waiting = [
                    ("bpsh", try cluster.conversation("bpsh", ["1", "true"])),
                    ("bpcp", try cluster.conversation("bpcp", [file, "1:\(folder)/copy"])),
                    ("bpctl", try cluster.conversation("bpctl", ["-S", "1", "-H"])),
                ]
                try cluster.expect("the requests") {
                    cluster.masterLog.matches(of: /ranks for user/).count >= launches + 2
                        && cluster.masterLog.contains("node 1: halt, by user 0")
                }
                cluster.master?.signal(SIGKILL)
                let sentence = "the connection to the daemon at \(cluster.socket) is lost"
                let end = "; the job's processes on the nodes are ended"
                let outcome = job.finish(seconds: TestCluster.patience)
                #expect(outcome.status == 255)
                #expect(outcome.errorText == "bpsh: \(sentence)\(end)\n")
                for (name, conversation) in waiting {
                    let outcome = conversation.finish(seconds: TestCluster.patience)
                    #expect(outcome.status != 0, "\(name)")
                    #expect(outcome.errorText.contains(sentence), "\(outcome.errorText)")
                    #expect(name == "bpctl" || outcome.errorText.contains(end), "\(name)")
                }
                let followed = follower.finish(seconds: TestCluster.patience)
                #expect(followed.status == 1)
                #expect(followed.errorText == "bpstat: \(sentence)\n")
                // It is as the sentence says.
                try cluster.expect("the end of the processes") {
                    !below.contains(where: \.isRunning)
                }
                for name in ["bpstat", "bpps"] {
                    let later = try cluster.command(name, [])
                    #expect(later.errorText.contains("no daemon answers at \(cluster.socket)"))
                }
                cluster.slaves[1]?.signal(SIGCONT)
            }
        }
    }
}
