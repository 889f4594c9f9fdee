import Glibc
import Testing

extension ClusterTests {
    /// Connections to the master that change or break, while programs run.
    @Suite(.serialized, .enabled(if: geteuid() == 0, "only root controls nodes"))
    struct Reconnect {
        /// A program that counts aloud until it finds a file, and what it must have said.
        private struct Count {
            let folder = TestFolder.make("count")
            private var stop: String { "\(folder)/stop" }
            var script: String {
                """
                i=0
                while [ ! -e \(stop) ]; do
                    sleep 0.01
                    for j in 1 2 3 4 5 6 7 8 9 10; do echo $i; i=$((i+1)); done
                done
                echo end
                exit 7
                """
            }

            func end() { _ = TestFile.write("", to: stop) }

            /// Every number once, in its order, and then the end.
            func expectWhole(_ text: String, nodes: Range<Int>) {
                var next: [Substring: Int] = [:]
                for line in text.split(separator: "\n") {
                    let parts = line.split(separator: ":").map { $0.drop { $0 == " " } }
                    guard parts.count == 2 else {
                        Issue.record("a line without a node: \(line)")
                        return
                    }
                    let expected = next[parts[0], default: 0]
                    if parts[1] == "end" {
                        next[parts[0]] = -1
                    } else if Int(parts[1]) == expected {
                        next[parts[0]] = expected + 1
                    } else {
                        Issue.record("node \(parts[0]) says \(parts[1]), not \(expected)")
                        return
                    }
                }
                for node in nodes { #expect(next["\(node)"] == -1, "node \(node) has not ended") }
            }
        }

        private static func serve(
            _ job: Conversation, _ what: String, until condition: () -> Bool
        ) throws {
            let isServed = job.serve(seconds: TestCluster.patience) {
                condition() || job.process.poll() != nil
            }
            try #require(isServed && job.process.status == nil, "\(what): \(job.errorText)")
        }

        private static func serveMore(_ job: Conversation) throws {
            let goal = job.byteCount + 4000
            try serve(job, "more output") { job.byteCount >= goal }
        }

        @Test func nodesChangeTheirAddressesWhileTheirProgramsRun() throws {
            let count = Count()
            defer { TestFile.removeFolder(count.folder) }
            try TestCluster.with(nodes: 4) { cluster in
                let job = try cluster.startJob(
                    "-p", "0-3", "sh", "-c", count.script, lineCount: 4)
                for round in 1...5 {
                    for node in 0..<4 {
                        let own = "127.77.\(round).\(node + 1)"
                        let order = try cluster.conversation(
                            "bpctl",
                            [
                                "-S", "\(node)", "--reconnect",
                                "\(cluster.masterAddress):\(cluster.port),\(own)",
                            ])
                        try Self.serveMore(job)
                        let outcome = order.finish(seconds: TestCluster.patience)
                        #expect(outcome.status == 0, "\(outcome.errorText)")
                        #expect(
                            cluster.masterLog.contains("node \(node) has come again, from \(own)"))
                    }
                }
                #expect(cluster.upNodes() == [0, 1, 2, 3])
                count.end()
                let outcome = job.finish(seconds: TestCluster.patience)
                #expect(outcome.status == 7, "\(outcome.errorText)")
                count.expectWhole(outcome.text, nodes: 0..<4)
            }
        }

        /// Who is stopped for longer than the other waits finds the connection gone.
        @Test(arguments: ["master", "slave"]) func aCutConnectionCostsNothing(_ who: String) throws
        {
            let count = Count()
            defer { TestFile.removeFolder(count.folder) }
            var shape = TestCluster.Shape(nodeCount: 2)
            shape.master = ["--ping-timeout", "2", "--grace", "60"]
            try TestCluster.with(shape) { cluster in
                let job = try cluster.startJob(
                    "-p", "0-1", "sh", "-c", count.script, lineCount: 2)
                let stopped = who == "master" ? cluster.master : cluster.slaves[0]
                stopped?.signal(SIGSTOP)
                try Self.serve(job, "the cut") {
                    who == "master"
                        ? cluster.slaveLog(0).contains("is cut: no word")
                        : cluster.masterLog.contains("node 0 is away: no answer")
                }
                if who == "slave" {
                    let state = try cluster.command("bpstat", ["-s", "0"])
                    #expect(state.text == "away\n")
                    let launch = try cluster.run("0", "true")
                    #expect(launch.errorText.contains("away"), "\(launch.errorText)")
                }
                stopped?.signal(SIGCONT)
                try Self.serve(job, "the node again") {
                    cluster.masterLog.contains("node 0 has come again")
                }
                try Self.serveMore(job)
                #expect(cluster.upNodes() == [0, 1])
                count.end()
                let outcome = job.finish(seconds: TestCluster.patience)
                #expect(outcome.status == 7, "\(outcome.errorText)")
                count.expectWhole(outcome.text, nodes: 0..<2)
            }
        }

        @Test func anEndThatIsNotSeenIsToldLater() throws {
            var shape = TestCluster.Shape(nodeCount: 1)
            shape.master = ["--ping-timeout", "2", "--grace", "60"]
            try TestCluster.with(shape) { cluster in
                let job = try cluster.startJob(
                    "0", "sh", "-c", "echo here; read x; exit 9", lineCount: 1)
                let rank = try #require(cluster.processes(on: 0).first { $0.isRunning })
                cluster.master?.signal(SIGSTOP)
                try cluster.expect("the cut") { cluster.slaveLog(0).contains("is cut: no word") }
                kill(rank.pid, SIGUSR1)
                try cluster.expect("the rank's end") { !rank.isRunning }
                cluster.master?.signal(SIGCONT)
                let outcome = job.finish(seconds: TestCluster.patience)
                #expect(outcome.status == 128 + SIGUSR1, "\(outcome.errorText)")
                #expect(cluster.masterLog.contains("node 0 has come again"))
            }
        }

        @Test func graceEnds() throws {
            var shape = TestCluster.Shape(nodeCount: 2)
            shape.master = ["--ping-timeout", "2", "--grace", "1"]
            shape.slaves = ["--reconnect", "1"]
            try TestCluster.with(shape) { cluster in
                let job = try cluster.startJob(
                    "0", "sh", "-c", "echo here; sleep 1000", lineCount: 1)
                let below = cluster.processes(on: 0)
                cluster.slaves[0]?.signal(SIGSTOP)
                let outcome = job.finish(seconds: TestCluster.patience)
                #expect(outcome.status == 128 + SIGKILL, "\(outcome.errorText)")
                #expect(cluster.masterLog.contains("node 0 is down: it has not come again"))
                cluster.slaves[0]?.signal(SIGCONT)
                try cluster.expect("the end of the processes") {
                    !below.contains(where: \.isRunning)
                }
                try cluster.waitUntilUp([0, 1])
                #expect(cluster.slaveLog(0).contains("it has to come anew"))
            }
        }

        @Test func aSlaveThatIsStartedAgainTakesItsPlace() throws {
            var shape = TestCluster.Shape(nodeCount: 1)
            shape.master = ["--grace", "3600"]
            try TestCluster.with(shape) { cluster in
                let job = try cluster.startJob(
                    "0", "sh", "-c", "echo here; sleep 1000", lineCount: 1)
                cluster.slaves[0]?.signal(SIGKILL)
                try cluster.expect("its place kept") {
                    cluster.masterLog.contains("node 0 is away")
                }
                try cluster.startSlave(0)
                let outcome = job.finish(seconds: TestCluster.patience)
                #expect(outcome.status == 128 + SIGKILL, "\(outcome.errorText)")
                try cluster.waitUntilUp([0])
                #expect(try cluster.run("0", "echo", "new").text == "new\n")
            }
        }

        /// What is no master refuses, or says nothing: the node stays where it is, and goes when it
        /// is told to.
        @Test func aNodeIsRebootedWhileItReconnects() throws {
            let folder = TestFolder.make("hooks")
            defer { TestFile.removeFolder(folder) }
            let command = TestFile.write(
                "#!/bin/sh\n>\(folder)/called\n", to: "\(folder)/reboot", mode: 0o755)
            var shape = TestCluster.Shape(nodeCount: 2)
            shape.slave[0] = ["--allow-reboot", "--reboot-command", command]
            try TestCluster.with(shape) { cluster in
                let way = ["-S", "0", "--reconnect", "\(cluster.slaveAddress(1)):\(cluster.port)"]
                let refused = try cluster.command("bpctl", way)
                #expect(refused.status == 1)
                #expect(refused.errorText.contains("relay port"), "\(refused.errorText)")
                #expect(try cluster.run("0", "echo", "still").text == "still\n")
                cluster.slaves[1]?.signal(SIGSTOP)
                let order = try cluster.conversation("bpctl", way)
                try cluster.expect("the order") {
                    cluster.slaveLog(0).matches(of: /told to reconnect/).count == 2
                }
                let again = try cluster.command("bpctl", way)
                #expect(again.errorText.contains("about to leave"), "\(again.errorText)")
                let reboot = try cluster.command("bpctl", ["-S", "0", "-R"])
                #expect(reboot.status == 0, "\(reboot.errorText)")
                try cluster.expect("the reboot") { access("\(folder)/called", F_OK) == 0 }
                let outcome = order.finish(seconds: TestCluster.patience)
                #expect(outcome.errorText.contains("ended before it answered"))
                try cluster.startSlave(0)
                cluster.slaves[1]?.signal(SIGCONT)
                try cluster.waitUntilUp([0, 1])
            }
        }

        /// Its own end is told to slaves, which do not wait for it then.
        @Test func aMasterThatEndsIsNotWaitedFor() throws {
            var shape = TestCluster.Shape(nodeCount: 1)
            shape.master = ["--grace", "3600"]
            try TestCluster.with(shape) { cluster in
                let job = try cluster.startJob(
                    "0", "sh", "-c", "echo here; sleep 1000", lineCount: 1)
                cluster.master?.signal(SIGTERM)
                #expect(cluster.slaves[0]?.wait(seconds: TestCluster.patience) == 1)
                #expect(job.finish(seconds: TestCluster.patience).status == 255)
            }
        }

        @Test func aNodeGoesToAnotherMaster() throws {
            try TestCluster.with(nodes: 2) { cluster in
                let shape = TestCluster.Shape(nodeCount: 1, master: ["--nodes", "2"])
                try TestCluster.with(shape) { other in
                    let job = try cluster.startJob(
                        "0-1", "sh", "-c", "echo here; read x", lineCount: 2)
                    let way = "\(other.masterAddress):\(other.port)"
                    let order = try cluster.command("bpctl", ["-S", "1", "--reconnect", way])
                    #expect(order.status == 0, "\(order.errorText)")
                    try cluster.waitUntilUp([0])
                    try other.waitUntilUp([0, 1])
                    #expect(
                        cluster.masterLog.contains(
                            "node 1 is down: the node has gone to another master"))
                    // What it ran is told to have ended, and ends when its input does.
                    try cluster.expect("the end of what waits for input") {
                        cluster.processes(on: 1).isEmpty
                    }
                    let isTold = job.serve(seconds: TestCluster.patience) {
                        job.errorText.contains("node 1")
                    }
                    #expect(isTold, "\(job.errorText)")
                    #expect(try other.run("1", "echo", "there").text == "there\n")
                    #expect(job.finish(seconds: TestCluster.patience).status == 128 + SIGKILL)
                }
            }
        }
    }
}
