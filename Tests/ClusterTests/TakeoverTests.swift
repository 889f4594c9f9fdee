import Glibc
import Testing

extension ClusterTests {
    /// Nodes that go to another master, and what runs there goes on: two real masters.
    @Suite(.serialized, .enabled(if: geteuid() == 0, "only root controls nodes"))
    struct Takeover {
        /// A program that talks all the time, tells of SIGUSR1, and ends when it finds a file.
        private struct Talker {
            let folder: String

            init() {
                folder = TestFolder.make("talker")
                chmod(folder, 0o777)
            }

            var script: String {
                """
                trap '>\(folder)/signal.$BPROC_RANK' USR1
                while [ ! -e \(folder)/stop ]; do
                    echo something; echo something else >&2; sleep 0.01
                done
                >\(folder)/end.$BPROC_RANK
                exit 7
                """
            }

            func stop() { _ = TestFile.write("", to: "\(folder)/stop") }

            func has(_ what: String) -> [String] {
                TestFile.names(in: folder).filter { $0.hasPrefix(what) }.sorted()
            }
        }

        private static func reconnect(
            _ nodes: String, of cluster: TestCluster, to other: TestCluster
        ) throws -> Subprocess.Outcome {
            let way = "\(other.masterAddress):\(other.port)"
            return try cluster.command("bpctl", ["-S", nodes, "--reconnect", way])
        }

        /// A master with a slave of its own, and room for more.
        private static let room = TestCluster.Shape(nodeCount: 1, master: ["--nodes", "4"])

        @Test(
            .enabled(
                if: access("/usr/bin/setpriv", X_OK) == 0, "becoming another user needs setpriv"))
        func processesGoOnUnderAnotherMaster() throws {
            let talker = Talker()
            defer { TestFile.removeFolder(talker.folder) }
            func user(_ id: Int, _ words: String...) -> [String] {
                ["--reuid=\(id)", "--regid=\(id)", "--clear-groups"]
                    + ["\(TestCluster.build)/\(words[0])"] + words.dropFirst()
            }
            try TestCluster.with(nodes: 3) { cluster in
                try TestCluster.with(Self.room) { other in
                    let job = try cluster.conversation(
                        "/usr/bin/setpriv", user(54321, "bpsh", "1-2", "sh", "-c", talker.script),
                        input: nil)
                    let isStarted = job.serve(seconds: TestCluster.patience) {
                        job.text.filter { $0 == "\n" }.count >= 20
                    }
                    try #require(isStarted, "\(job.errorText)")
                    let below = cluster.processes(on: 1) + cluster.processes(on: 2)
                    let ranks = below.filter { $0.isRunning }
                    let order = try Self.reconnect("1-2", of: cluster, to: other)
                    #expect(order.status == 0, "\(order.errorText)")

                    // For the master that is left, and for the caller, it is over at once.
                    let outcome = job.finish(seconds: TestCluster.patience)
                    #expect(outcome.status == 128 + SIGKILL)
                    for node in 1...2 {
                        let sentence = "node \(node): the node has gone to another master"
                        #expect(outcome.errorText.contains(sentence), "\(outcome.errorText)")
                    }
                    #expect(try cluster.processNumbers().isEmpty)
                    #expect(cluster.upNodes() == [0])
                    #expect(
                        cluster.masterLog.contains(
                            "node 1 is down: the node has gone to another master"))

                    // The other has them, by numbers of its own: theirs are pids of ghosts here.
                    try other.waitUntilUp([0, 1, 2])
                    let numbers = try other.processNumbers()
                    #expect(numbers.count == 2 && numbers.allSatisfy { Int($0)! >= 1 << 23 })
                    #expect(other.masterLog.contains("node 1 brings 1 processes"))
                    #expect(!ranks.isEmpty)
                    let shown = try other.command("bpps", [])
                    #expect(shown.text.contains("54321") && shown.text.contains("sh"))

                    // He who has started them may signal them, and nobody else but root.
                    let stranger = try other.command(
                        "/usr/bin/setpriv", user(54322, "bpkill", "-USR1") + numbers)
                    #expect(stranger.status == 1 && stranger.errorText.contains("54321's"))
                    #expect(talker.has("signal").isEmpty)
                    let owner = try other.command(
                        "/usr/bin/setpriv", user(54321, "bpkill", "-USR1") + numbers)
                    #expect(owner.status == 0, "\(owner.errorText)")
                    try other.expect("both signals") { talker.has("signal").count == 2 }
                    #expect(try other.run("1", "echo", "there").text == "there\n")

                    // They have talked to nobody all the time, and end as they like.
                    talker.stop()
                    try other.expect("the ends") { talker.has("end").count == 2 }
                    try other.expect("empty lists") {
                        (try? other.processNumbers())?.isEmpty == true
                    }
                    for number in numbers {
                        let end = try Regex(
                            "process \(number) of user 54321.*has ended: status 1792")
                        #expect(other.masterLog.contains(end))
                    }
                    try other.expect("the ends of all") { !below.contains(where: \.isRunning) }
                }
            }
        }

        /// A job stays one job, with what its ranks have left, and may come back.
        @Test func nodesGoThereAndBack() throws {
            try TestCluster.with(nodes: 3) { cluster in
                try TestCluster.with(Self.room) { other in
                    let job = try cluster.startJob(
                        "1-2", "sh", "-c", "(sleep 1000 &); echo here; sleep 1001", lineCount: 2)
                    // Both directions of its node's link are full all the time.
                    let busy = try cluster.conversation(
                        "/bin/sh",
                        ["-c", "exec \(TestCluster.build)/bpsh 2 yes </dev/zero"], input: nil)
                    let isBusy = busy.serve(seconds: TestCluster.patience) {
                        busy.byteCount > 1 << 20
                    }
                    try #require(isBusy, "\(busy.errorText)")
                    let below = cluster.processes(on: 1) + cluster.processes(on: 2)
                    for node in 1...2 {
                        let order = try Self.reconnect("\(node)", of: cluster, to: other)
                        #expect(order.status == 0, "\(order.errorText)")
                    }
                    for job in [job, busy] {
                        let outcome = job.finish(seconds: TestCluster.patience)
                        #expect(outcome.status == 128 + SIGKILL)
                        #expect(
                            outcome.errorText.contains("node 2: the node has gone to another"),
                            "\(outcome.errorText)")
                    }
                    let numbers = try other.processNumbers()
                    #expect(numbers.count == 3)
                    let back = try Self.reconnect("1-2", of: other, to: cluster)
                    #expect(back.status == 0, "\(back.errorText)")
                    try cluster.waitUntilUp([0, 1, 2])
                    try other.expect("the leave") { (try? other.processNumbers())?.isEmpty == true }
                    // Numbers that are no pids here stay what they are.
                    #expect(try cluster.processNumbers().sorted() == numbers.sorted())
                    #expect(!below.isEmpty && !below.contains { !$0.isRunning })
                    #expect(try cluster.run("1-2", "echo", "again").text == "again\nagain\n")
                    for _ in 0..<2 {
                        // One of two ranks stands for both.
                        let left = try cluster.processNumbers()
                        let kill = try cluster.command(
                            "bpkill", ["-9", "--job", try #require(left.first)])
                        #expect(kill.status == 0, "\(kill.errorText)")
                        try cluster.expect("the end of one job") {
                            (try? cluster.processNumbers().count) ?? 9 < left.count
                        }
                    }
                    try cluster.expect("the end of all") { !below.contains(where: \.isRunning) }
                }
            }
        }

        /// The other master does not take the node: it stays where it is, with what runs there.
        @Test func aNodeThatIsRefusedStays() throws {
            let talker = Talker()
            defer { TestFile.removeFolder(talker.folder) }
            try TestCluster.with(nodes: 2) { cluster in
                let shape = TestCluster.Shape(nodeCount: 2)
                try TestCluster.with(shape) { other in
                    let job = try cluster.startJob("1", "sh", "-c", talker.script, lineCount: 5)
                    let occupied = try Self.reconnect("1", of: cluster, to: other)
                    #expect(occupied.status == 1)
                    #expect(
                        occupied.errorText.contains("node 1 is connected already"),
                        "\(occupied.errorText)")
                    // Nobody is there, and one of another version.
                    let free = try #require(RawLink.freePort(of: other.masterAddress))
                    let absent = try cluster.command(
                        "bpctl", ["-S", "1", "--reconnect", "\(other.masterAddress):\(free)"])
                    #expect(absent.status == 1 && absent.errorText.contains("refused"))
                    let stranger = try #require(RawListener(other.masterAddress))
                    let order = try cluster.conversation(
                        "bpctl",
                        ["-S", "1", "--reconnect", "\(other.masterAddress):\(stranger.port)"])
                    // A header of protocol version 2.
                    stranger.answer([0x42, 0x50, 2] + Array(repeating: 0, count: 29))
                    let foreign = order.finish(seconds: TestCluster.patience)
                    #expect(foreign.status == 1)
                    #expect(
                        foreign.errorText.contains("protocol version 2"), "\(foreign.errorText)")
                    let goal = job.byteCount + 1000
                    job.serve(seconds: TestCluster.patience) { job.byteCount >= goal }
                    talker.stop()
                    let outcome = job.finish(seconds: TestCluster.patience)
                    #expect(outcome.status == 7, "\(outcome.errorText)")
                    #expect(cluster.upNodes() == [0, 1] && other.upNodes() == [0, 1])
                }
            }
        }

        /// The master is killed: one that takes its place in time, at its address, has the nodes
        /// with what runs there.
        @Test func anotherMasterTakesThePlaceOfOneThatWasKilled() throws {
            let talker = Talker()
            defer { TestFile.removeFolder(talker.folder) }
            var shape = TestCluster.Shape(nodeCount: 2)
            shape.master = ["--ping-timeout", "2", "--grace", "60"]
            try TestCluster.with(shape) { cluster in
                let job = try cluster.startJob("0-1", "sh", "-c", talker.script, lineCount: 10)
                let below = cluster.processes(on: 0) + cluster.processes(on: 1)
                cluster.master?.signal(SIGKILL)
                let outcome = job.finish(seconds: TestCluster.patience)
                #expect(outcome.status == 255 && outcome.errorText.contains("is lost"))
                #expect(cluster.master?.wait(seconds: TestCluster.patience) == 128 + SIGKILL)
                try cluster.startMaster()
                try cluster.waitUntilUp([0, 1])
                #expect(!below.isEmpty)
                let numbers = try cluster.processNumbers()
                #expect(numbers.count == 2)
                let kill = try cluster.command("bpkill", ["-USR1"] + numbers)
                #expect(kill.status == 0, "\(kill.errorText)")
                try cluster.expect("both signals") { talker.has("signal").count == 2 }
                talker.stop()
                try cluster.expect("the ends") { talker.has("end").count == 2 }
                try cluster.expect("empty lists") {
                    (try? cluster.processNumbers())?.isEmpty == true
                }
            }
        }
    }
}
