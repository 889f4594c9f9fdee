import Glibc
import Testing

extension ClusterTests {
    /// Launches whose relays die, stop or stand in a deep tree.
    @Suite(.serialized) struct RelayFaults {
        /// A launch as `bpcluster bench` reports it, with the master's own counters.
        struct Launch {
            var placed = 0
            var verified = 0
            var failed = 0
            var fanOut = 0
            var receivedChunkCount = 0
            var chunkCount = 0
            var outcome: Subprocess.Outcome

            init(_ outcome: Subprocess.Outcome, log: String) {
                self.outcome = outcome
                placed = Self.number("\"placed\": ", in: outcome.text) ?? 0
                verified = Self.number("\"verified\": ", in: outcome.text) ?? 0
                failed = Self.number("\"failed\": ", in: outcome.text) ?? 0
                fanOut = Self.number("\"fanout\": ", in: outcome.text) ?? 0
                let line = log.split(separator: "\n").last { $0.contains(" chunks received by") }
                receivedChunkCount = Self.number("at most ", in: String(line ?? "")) ?? 0
                let rest = line.map { String($0.split(separator: "at most ").last ?? "") } ?? ""
                chunkCount = Self.number(" of ", in: rest) ?? 0
            }

            static func number(_ before: String, in text: String) -> Int? {
                text.firstRange(of: before).flatMap { range in
                    Int(text[range.upperBound...].prefix(while: \.isNumber))
                }
            }
        }

        /// 4 MiB that check themselves; its image has some 20 chunks of 256 KiB.
        static func launch(
            on cluster: TestCluster, fanOut: Int, nodes: String = "up"
        ) throws -> Launch {
            let outcome = try cluster.command("bpcluster", arguments(cluster, fanOut, nodes))
            return Launch(outcome, log: cluster.masterLog)
        }

        static func arguments(_ cluster: TestCluster, _ fanOut: Int, _ nodes: String) -> [String] {
            [
                "bench", "--dir", cluster.folder, "--fan-out", "\(fanOut)", "--chunk", "262144",
                "--nodes", nodes, Workload.program,
            ]
        }

        /// Fan-out 1 is a chain of 64, fan-out 2 a tree of at least 6 levels below the master.
        @Test(arguments: [1, 2]) func deepTrees(fanOut: Int) throws {
            try TestCluster.with(nodes: 64) { cluster in
                let launch = try Self.launch(on: cluster, fanOut: fanOut)
                #expect(launch.fanOut == fanOut)
                #expect(launch.verified == 64, "\(launch.outcome.errorText)")
                #expect(launch.failed == 0)
                #expect(launch.chunkCount >= 16)
                #expect(launch.receivedChunkCount == launch.chunkCount)
                #expect(try cluster.run("--fan-out", "\(fanOut)", "0-63", "true").status == 0)
            }
        }

        /// The first node of the tree relays to many: its death early, in the middle and late in
        /// the stream must cost nobody else the launch, nor the chunks they have already.
        @Test(arguments: [0, 1, 3], [1, 2]) func deathOfAnInnerRelay(
            chunk: Int, fanOut: Int
        ) throws {
            let shape = TestCluster.Shape(
                nodeCount: 16, slave: [1: ["--fault", "die-after-chunk:\(chunk)"]])
            try TestCluster.with(shape) { cluster in
                let launch = try Self.launch(on: cluster, fanOut: fanOut)
                #expect(cluster.slaves[1]?.wait(seconds: 20) == 128 + SIGKILL)
                #expect(launch.placed == 15, "\(launch.outcome.errorText)")
                #expect(launch.verified == 15, "\(launch.outcome.errorText)")
                #expect(launch.failed == 1)
                #expect(launch.outcome.errorText.contains("node 1"))
                #expect(launch.chunkCount >= 16)
                #expect(launch.receivedChunkCount <= launch.chunkCount + 1)
                let again = try Self.launch(on: cluster, fanOut: fanOut)
                #expect(again.verified == 15, "\(again.outcome.errorText)")
            }
        }

        /// The master counts its own children in the trees: the first node is one.
        private static func counted(by cluster: TestCluster) throws -> Metrics.Samples {
            try Metrics.parse(cluster.command("bpctl", ["--metrics"]).text)
        }

        private static func expectCounted(
            by cluster: TestCluster, healed: Double, stalled: Double, failed: Double,
            _ location: SourceLocation = #_sourceLocation
        ) throws {
            let samples = try counted(by: cluster)
            let failures = samples.filter { $0.key.hasPrefix("bproc_ranks_failed_total") }
            let counted = samples["bproc_relays_healed_total"]
            #expect(counted == healed, sourceLocation: location)
            #expect(samples["bproc_ranks_stalled_total"] == stalled, sourceLocation: location)
            #expect(failures.values.reduce(0, +) == failed, sourceLocation: location)
        }

        /// Its children go on from the chunks they have, and the master has counted that.
        @Test(arguments: [0, 2, 5], [1, 2]) func aDeathBelowTheMasterIsCounted(
            chunk: Int, fanOut: Int
        ) throws {
            let shape = TestCluster.Shape(
                nodeCount: 16, slave: [0: ["--fault", "die-after-chunk:\(chunk)"]])
            try TestCluster.with(shape) { cluster in
                try Self.expectCounted(by: cluster, healed: 0, stalled: 0, failed: 0)
                let launch = try Self.launch(on: cluster, fanOut: fanOut)
                #expect(cluster.slaves[0]?.wait(seconds: 20) == 128 + SIGKILL)
                #expect(launch.verified == 15, "\(launch.outcome.errorText)")
                #expect(launch.chunkCount >= 16)
                #expect(launch.receivedChunkCount <= launch.chunkCount + 1)
                try Self.expectCounted(by: cluster, healed: 1, stalled: 0, failed: 1)
                let again = try Self.launch(on: cluster, fanOut: fanOut)
                #expect(again.verified == 15, "\(again.outcome.errorText)")
                try Self.expectCounted(by: cluster, healed: 1, stalled: 0, failed: 1)
            }
        }

        /// It is noticed by its silence, not by its death: nobody has waited until it went on.
        @Test(arguments: [0, 3]) func aStopBelowTheMasterIsCounted(chunk: Int) throws {
            let shape = TestCluster.Shape(
                nodeCount: 16, master: ["--stall-timeout", "500"],
                slave: [0: ["--fault", "stop-after-chunk:\(chunk)"]])
            try TestCluster.with(shape) { cluster in
                let launch = try Self.launch(on: cluster, fanOut: 2)
                #expect(launch.verified == 15, "\(launch.outcome.errorText)")
                #expect(launch.receivedChunkCount <= launch.chunkCount + 1)
                let said = launch.outcome.errorText.firstMatch(
                    of: /node 0.*no sign of life for (\d+) ms/)
                let silence = try #require(said, "\(launch.outcome.errorText)")
                #expect(try #require(Int(silence.1)) >= 500)
                try Self.expectCounted(by: cluster, healed: 1, stalled: 1, failed: 1)
                let stopped = try #require(cluster.slaves[0].flatMap { RunningProcess($0.pid) })
                #expect(stopped.isStopped)
            }
        }

        @Test func deathOfTwoNeighboursInTheChain() throws {
            let fault = ["--fault", "die-after-chunk:2"]
            let shape = TestCluster.Shape(nodeCount: 12, slave: [3: fault, 4: fault])
            try TestCluster.with(shape) { cluster in
                let launch = try Self.launch(on: cluster, fanOut: 1)
                #expect(launch.verified == 10, "\(launch.outcome.errorText)")
                #expect(launch.failed == 2)
                #expect(launch.receivedChunkCount <= launch.chunkCount + 2)
            }
        }

        @Test(arguments: [0, 3]) func aStoppedRelayIsNoticed(chunk: Int) throws {
            let shape = TestCluster.Shape(
                nodeCount: 16, master: ["--stall-timeout", "500"],
                slave: [1: ["--fault", "stop-after-chunk:\(chunk)"]])
            try TestCluster.with(shape) { cluster in
                let launch = try Self.launch(on: cluster, fanOut: 2)
                #expect(launch.verified == 15, "\(launch.outcome.errorText)")
                #expect(launch.failed == 1)
                #expect(launch.outcome.errorText.contains("node 1"))
                let stopped = try #require(
                    cluster.slaves[1].flatMap { RunningProcess($0.pid) })
                #expect(stopped.isStopped)
                // When it wakes it finds the launch over, and starts nothing.
                cluster.slaves[1]?.signal(SIGCONT)
                try cluster.expect("node 1 without processes") {
                    cluster.processes(on: 1).isEmpty
                }
            }
        }

        private static let processorCount = sysconf(Int32(_SC_NPROCESSORS_ONLN))

        /// Where nodes share processors, what is placed waits for the rest of its launch, in a read
        /// of its status channel; but one node that never answers does not keep the others.
        @Test(
            .enabled(if: geteuid() == 0, "seeing what a process waits in takes root"),
            .enabled(if: processorCount < 64, "64 nodes are not crowded on this machine"))
        func programsOfACrowdWaitForTheirLaunch() throws {
            let last = Self.processorCount
            let shape = TestCluster.Shape(
                nodeCount: last + 1, master: ["--stall-timeout", "60000"],
                slave: [last: ["--fault", "stop-after-chunk:0"]])
            try TestCluster.with(shape) { cluster in
                let job = try cluster.conversation(
                    "bpsh", ["0-\(last)", "sh", "-c", "echo here; cat"], input: nil)
                try cluster.expect("a program that waits") {
                    cluster.processes(on: 0).contains {
                        TestFile.text("/proc/\($0.pid)/syscall").hasPrefix("0 0x4 ")
                    }
                }
                let others = String(repeating: "here\n", count: last)
                #expect(job.serve(seconds: TestCluster.patience) { job.text == others })
                cluster.slaves[last]?.signal(SIGCONT)
                #expect(job.serve(seconds: TestCluster.patience) { job.text == others + "here\n" })
                #expect(job.finish(seconds: TestCluster.patience).status == 0)
            }
        }

        /// Deaths at moments that nobody chose. The seed only chooses who dies; when is left to the
        /// machine.
        @Test func deathsDuringLaunchesNeverHang() throws {
            try TestCluster.with(nodes: 16) { cluster in
                var random: UInt64 = 0x9e37_79b9_7f4a_7c15
                for round in 0..<8 {
                    random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                    let victim = Int(random >> 33) % 16
                    let running = try cluster.conversation(
                        "bpcluster", Self.arguments(cluster, 1 + round % 4, "0-15"))
                    running.serve(seconds: 1) {
                        usleep(UInt32(random >> 20 & 0xfff) * 3)
                        return true
                    }
                    cluster.slaves[victim]?.end()
                    let outcome = running.finish(seconds: TestCluster.patience)
                    #expect(!outcome.isOverdue, "round \(round), node \(victim)")
                    let launch = Launch(outcome, log: cluster.masterLog)
                    #expect(launch.placed + launch.failed == 16, "\(outcome.errorText)")
                    #expect(launch.verified >= 15, "\(outcome.errorText)")
                    try cluster.waitUntilUp(Set(0..<16).subtracting([victim]))
                    try cluster.startSlave(victim)
                    try cluster.waitUntilUp(Set(0..<16))
                }
                let last = try Self.launch(on: cluster, fanOut: 2)
                #expect(last.verified == 16, "\(last.outcome.errorText)")
            }
        }
    }
}

/// The benchmark's self-checking program, made from its source when it is not there yet.
enum Workload {
    static let program: String = {
        let path = Package.root + "/out/bench/hash4m"
        let folder = Package.root + "/Benchmarks"
        let make = try? Conversation(
            "/usr/bin/make", ["--silent", "-C", folder, "../out/bench/hash4m"],
            environment: ["PATH": "/usr/bin:/bin"], input: [])
        let outcome = make?.finish(seconds: 120)
        if access(path, X_OK) != 0 {
            Issue.record("\(path) cannot be made: \(outcome?.errorText ?? "no make")")
        }
        return path
    }()
}
