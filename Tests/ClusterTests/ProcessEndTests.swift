import Glibc
import Testing

extension ClusterTests {
    /// Whoever dies, no process of the job stays behind, and whoever waits is told.
    @Suite(.serialized) struct ProcessEnds {
        /// Runs until it is ended.
        private static let rank = ["sh", "-c", "echo up; exec sleep 3000"]
        /// With a child of its own, which nobody but the slave can find when the job is over.
        private static let family = ["sh", "-c", "sleep 3000 & echo up; wait"]

        private static func startJob(
            _ cluster: TestCluster, _ nodes: String, _ rank: [String] = rank
        ) throws -> Conversation {
            let job = try cluster.conversation("bpsh", ["-n", nodes] + rank, input: nil)
            guard
                job.serve(
                    seconds: TestCluster.patience,
                    until: { job.text.count >= 3 * cluster.shape.nodeCount })
            else {
                let outcome = job.finish(seconds: 1)
                throw TestCluster.Failure(description: "no job: \(outcome.errorText)")
            }
            return job
        }

        /// All processes of the job, while it runs.
        private static func processes(_ cluster: TestCluster) -> [RunningProcess] {
            (0..<cluster.shape.nodeCount).flatMap { cluster.processes(on: $0) }
        }

        private static func expectEnd(
            of processes: [RunningProcess], _ cluster: TestCluster
        ) throws {
            // What fails the test must not outlive it.
            defer {
                for process in processes where process.isRunning { kill(process.pid, SIGKILL) }
            }
            try cluster.expect("the end of every process of the job") {
                !processes.contains(where: \.isRunning)
            }
        }

        @Test(arguments: [rank, family]) func deathOfTheCaller(rank: [String]) throws {
            try TestCluster.with(nodes: 4) { cluster in
                let job = try Self.startJob(cluster, "0-3", rank)
                let processes = Self.processes(cluster)
                #expect(processes.count >= 4)
                job.process.end()
                try Self.expectEnd(of: processes, cluster)
                #expect(try cluster.run("0-3", "true").status == 0)
            }
        }

        @Test func signalsToTheCallerReachTheRanks() throws {
            try TestCluster.with(nodes: 4) { cluster in
                let job = try Self.startJob(cluster, "0-3")
                let processes = Self.processes(cluster)
                job.process.signal(SIGTERM)
                let outcome = job.finish(seconds: TestCluster.patience)
                #expect(!outcome.isOverdue)
                #expect(outcome.status == 128 + SIGTERM, "\(outcome.errorText)")
                try Self.expectEnd(of: processes, cluster)
            }
        }

        @Test(arguments: [rank, family]) func deathOfTheMaster(rank: [String]) throws {
            try TestCluster.with(nodes: 4) { cluster in
                let job = try Self.startJob(cluster, "0-3", rank)
                let processes = Self.processes(cluster)
                cluster.master?.end()
                let outcome = job.finish(seconds: TestCluster.patience)
                #expect(outcome.status == 255 && !outcome.isOverdue, "\(outcome.errorText)")
                #expect(outcome.errorText.contains("bpsh: "))
                try Self.expectEnd(of: processes, cluster)
                for (node, slave) in cluster.slaves {
                    #expect(slave.wait(seconds: TestCluster.patience) != nil, "node \(node)")
                }
            }
        }

        @Test func deathOfASlave() throws {
            try TestCluster.with(nodes: 4) { cluster in
                let job = try Self.startJob(cluster, "0-3")
                let lost = cluster.processes(on: 2)
                let others = [0, 1, 3].flatMap { cluster.processes(on: $0) }
                #expect(!lost.isEmpty)
                cluster.slaves[2]?.end()
                try Self.expectEnd(of: lost, cluster)
                try cluster.waitUntilUp([0, 1, 3])
                #expect(others.allSatisfy { $0.isRunning }, "the other nodes are not concerned")
                #expect(job.process.poll() == nil)
                job.process.signal(SIGTERM)
                let outcome = job.finish(seconds: TestCluster.patience)
                #expect(outcome.errorText.contains("node 2: the node died with the process on it"))
                try Self.expectEnd(of: others, cluster)
            }
        }

        @Test func aSlaveThatStartsAgainTakesPartAgain() throws {
            try TestCluster.with(nodes: 3) { cluster in
                for _ in 0..<3 {
                    cluster.slaves[1]?.end()
                    try cluster.waitUntilUp([0, 2])
                    try cluster.startSlave(1)
                    try cluster.waitUntilUp([0, 1, 2])
                    let outcome = try cluster.run("0-2", "echo", "again")
                    #expect(outcome.status == 0, "\(outcome.errorText)")
                    #expect(outcome.text == "again\nagain\nagain\n")
                }
            }
        }

        /// A slave that sleeps through its own loss: what it runs is not the master's any more.
        @Test(arguments: [[String](), ["--reconnect", "1"]])
        func aSlaveThatWasGivenUpKeepsNoProcess(options: [String]) throws {
            let shape = TestCluster.Shape(
                nodeCount: 3, master: ["--ping-timeout", "2"], slaves: options)
            try TestCluster.with(shape) { cluster in
                let job = try Self.startJob(cluster, "0-2")
                let lost = cluster.processes(on: 1)
                #expect(!lost.isEmpty)
                cluster.slaves[1]?.signal(SIGSTOP)
                try cluster.waitUntilUp([0, 2])
                cluster.slaves[1]?.signal(SIGCONT)
                try Self.expectEnd(of: lost, cluster)
                if !options.isEmpty {
                    try cluster.waitUntilUp([0, 1, 2])
                    #expect(cluster.processes(on: 1).isEmpty)
                    #expect(try cluster.run("1", "echo", "back").text == "back\n")
                }
                job.process.signal(SIGTERM)
                let outcome = job.finish(seconds: TestCluster.patience)
                #expect(outcome.errorText.contains("node 1"), "\(outcome.errorText)")
            }
        }

        @Test(arguments: [rank, family]) func endOfASlaveByTerm(rank: [String]) throws {
            try TestCluster.with(nodes: 2) { cluster in
                let job = try Self.startJob(cluster, "0-1", rank)
                let processes = cluster.processes(on: 0)
                cluster.slaves[0]?.signal(SIGTERM)
                #expect(cluster.slaves[0]?.wait(seconds: TestCluster.patience) == 0)
                try Self.expectEnd(of: processes, cluster)
                job.process.signal(SIGTERM)
                #expect(!job.finish(seconds: TestCluster.patience).isOverdue)
            }
        }
    }
}
