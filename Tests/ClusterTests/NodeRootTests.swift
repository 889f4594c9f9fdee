import Glibc
import Testing

extension ClusterTests {
    /// Programs on nodes that use the cluster from there, by the socket of their own slave.
    @Suite(.serialized) struct NodeRoots {
        private static let isRoot = geteuid() == 0

        /// A cluster, the program that talks to the library, and images for it to start.
        struct Stage {
            let cluster: TestCluster
            let program: String

            /// The image of a command as the front end takes it.
            func image(of command: String...) throws -> [UInt8] {
                let outcome = try cluster.command(program, ["capture"] + command)
                try #require(outcome.status == 0, "\(outcome.errorText)")
                return outcome.output
            }

            /// Runs the program on node 3.
            func run(_ arguments: String..., input: [UInt8] = []) throws -> Subprocess.Outcome {
                try cluster.command("bpsh", ["3", program] + arguments, input: input)
            }

            /// A job that a program on node 3 has started and holds.
            func hold(_ count: Int) throws -> Conversation {
                let input = try image(of: "/bin/sleep", "3000")
                let holder = try cluster.conversation(
                    "bpsh", ["3", program, "hold", "\(count)"], input: input)
                let isHeld = holder.serve(seconds: TestCluster.patience) {
                    holder.text.contains("held\n") || holder.process.poll() != nil
                }
                guard isHeld, holder.process.status == nil else {
                    let outcome = holder.finish(seconds: 1)
                    throw TestCluster.Failure(
                        description: "no job: \(outcome.text) \(outcome.errorText)")
                }
                return holder
            }
        }

        private static func with(
            _ shape: TestCluster.Shape, _ body: (Stage) throws -> Void
        ) throws {
            let programs = Programs()
            defer { programs.remove() }
            let program = try programs.compileCaller("fromnode.c", ["-O1", "-static"])
            try TestCluster.with(shape) { try body(Stage(cluster: $0, program: program)) }
        }

        private static func expectAll(
            _ count: Int, _ outcome: Subprocess.Outcome, output: (Int) -> String
        ) {
            #expect(outcome.status == 0, "\(outcome.text) \(outcome.errorText)")
            let lines = outcome.sortedLines
            #expect(lines.contains("placed \(count)"), "\(lines)")
            for rank in 0..<count {
                #expect(lines.contains("rank \(rank): \(output(rank))"), "\(lines)")
                #expect(lines.contains("exit rank \(rank) node \(rank) status 0"), "\(lines)")
            }
        }

        // MARK: What works

        /// Nothing of the master can be reached: no file at all is there, and no /proc.
        @Test(.enabled(if: isRoot, "chroot needs root")) func fromAnEmptyRoot() throws {
            let root = TestFolder.make("root")
            defer { TestFile.removeFolder(root) }
            let shape = TestCluster.Shape(nodeCount: 16, slaves: ["--root", root])
            try Self.with(shape) { stage in
                let answers = try stage.run("ask")
                #expect(answers.status == 0, "\(answers.text) \(answers.errorText)")
                let lines = answers.sortedLines
                #expect(lines.contains("currnode 3"), "\(lines)")
                #expect(lines.contains("numnodes 16"), "\(lines)")
                #expect(lines.contains("nodelist 16 up 16"), "\(lines)")
                #expect(lines.contains("nodestatus up"), "\(lines)")
                #expect(lines.contains { $0.hasPrefix("socket @bproc-") }, "\(lines)")

                let image = try stage.image(of: "/bin/echo", "hello")
                Self.expectAll(16, try stage.run("image", "16", input: image)) { _ in "hello" }
                // Without its own node, whose slave is the root all the same.
                Self.expectAll(3, try stage.run("image", "3", input: image)) { _ in "hello" }
            }
        }

        /// The slave lends its own program as the helper that takes images, and every process finds
        /// its own slave.
        @Test func imagesAreTakenOnTheNode() throws {
            let sockets = (0..<4).map { "@bproc-test-\(getpid())-\($0)" }
            var shape = TestCluster.Shape(nodeCount: 4)
            for (node, socket) in sockets.enumerated() {
                shape.slave[node] = ["--socket", socket]
            }
            try Self.with(shape) { stage in
                let outcome = try stage.run(
                    "program", "4", "/bin/sh", "-c", "echo $BPROC_SOCKET")
                Self.expectAll(4, outcome) { sockets[$0] }
            }
        }

        /// From the memory of a process on node 3, which has a rank itself.
        @Test func forksOntoAllNodes() throws {
            try Self.with(TestCluster.Shape(nodeCount: 8)) { stage in
                let folder = TestFolder.make("ranks")
                defer { TestFile.removeFolder(folder) }
                let outcome = try stage.run("fork", "8", folder)
                #expect(outcome.status == 0, "\(outcome.text) \(outcome.errorText)")
                let lines = (0..<8).map { "rank \($0): node \($0), data \(100 + $0)" }
                #expect(outcome.sortedLines == ["placed 8"] + lines, "\(outcome.text)")
            }
        }

        /// From the front end over five nodes, each move from one node to the next, and home.
        @Test func aProcessTravels() throws {
            try Self.with(TestCluster.Shape(nodeCount: 5)) { stage in
                try stage.cluster.startFrontEnd()
                let nodes = [0, 1, 2, 3, 4, -1]
                let outcome = try stage.cluster.command(
                    stage.program, ["travel"] + nodes.map(String.init))
                let sum = nodes.enumerated().reduce(0) { $0 + ($1.element + 2) * 1000 + $1.offset }
                #expect(outcome.status == 0, "\(outcome.text) \(outcome.errorText)")
                #expect(outcome.text == "at -1 after 6 moves, sum \(sum)\n")
            }
        }

        /// The node has no file at all; the program is the front end's.
        @Test(.enabled(if: isRoot, "chroot needs root")) func execThroughTheFrontEnd() throws {
            let root = TestFolder.make("root")
            defer { TestFile.removeFolder(root) }
            let shape = TestCluster.Shape(nodeCount: 4, slaves: ["--root", root])
            try Self.with(shape) { stage in
                let without = try stage.run("become", "/bin/true")
                #expect(without.status == 1)
                #expect(without.text.contains("bpslave --front-end"), "\(without.text)")
                try stage.cluster.startFrontEnd()
                let script = "echo same $$ >&7; trap; echo $BPROC_SOCKET; exit 9"
                let outcome = try stage.run("become", "/bin/sh", "-c", script)
                #expect(outcome.status == 9, "\(outcome.text) \(outcome.errorText)")
                let lines = outcome.text.split(separator: "\n")
                try #require(lines.count == 3, "\(outcome.text)")
                let pid = lines[0].split(separator: " ")[1]
                #expect(lines[1] == "same \(pid)")
                #expect(lines[2].hasPrefix("@bproc-"), "\(lines)")
            }
        }

        /// The front end's slave is a place for processes, but no node of the list.
        @Test func theFrontEndIsAPlace() throws {
            try Self.with(TestCluster.Shape(nodeCount: 2)) { stage in
                let without = try stage.cluster.run("master", "true")
                #expect(without.status == 255)
                #expect(without.errorText.contains("bpslave --front-end"), "\(without.errorText)")
                try stage.cluster.startFrontEnd()
                let outcome = try stage.cluster.run("master", stage.program, "ask")
                #expect(outcome.status == 0, "\(outcome.text) \(outcome.errorText)")
                #expect(outcome.text.contains("currnode -1\n"), "\(outcome.text)")
                #expect(outcome.text.contains("nodelist 2 up 2\n"), "\(outcome.text)")
            }
        }

        /// A launch from a node has the ids of the process that asks, not of its slave.
        @Test(.enabled(if: isRoot, "launching as another user needs root"))
        func ranksRunAsTheirCaller() throws {
            try Self.with(TestCluster.Shape(nodeCount: 3)) { stage in
                let place = TestFolder.make("user")
                defer { TestFile.removeFolder(place) }
                chmod(place, 0o755)
                let program = "\(place)/fromnode"
                let bytes = try #require(TestFile.read(stage.program))
                TestFile.write(bytes, to: program, mode: 0o755)
                let outcome = try stage.cluster.command(
                    "/usr/bin/setpriv",
                    [
                        "--reuid", "4711", "--regid", "4712", "--groups", "4713",
                        "\(TestCluster.build)/bpsh", "1", program, "program", "3", "/bin/sh",
                        "-c", "id -u; id -G",
                    ])
                #expect(outcome.status == 0, "\(outcome.text) \(outcome.errorText)")
                #expect(outcome.text.contains("placed 3\n"), "\(outcome.text)")
                #expect(outcome.text.split(separator: "4711").count == 4, "\(outcome.text)")
                #expect(outcome.text.split(separator: "4712 4713").count == 4, "\(outcome.text)")
            }
        }

        // MARK: What goes wrong

        /// An inner relay dies while the image passes: the root heals the tree as the master would.
        @Test func deathOfARelay() throws {
            let shape = TestCluster.Shape(
                nodeCount: 16, slave: [0: ["--fault", "die-after-chunk:1"]])
            try Self.with(shape) { stage in
                let image = try stage.image(of: "/bin/echo", "hello")
                let outcome = try stage.run("image", "16", input: image)
                #expect(outcome.text.contains("placed 15\n"), "\(outcome.text)")
                #expect(outcome.text.contains("failed rank 0 node 0 errno"), "\(outcome.text)")
                let exits = outcome.sortedLines.filter { $0.hasPrefix("exit rank") }
                #expect(exits.count == 15, "\(exits)")
                #expect(outcome.sortedLines.contains("end 0 "), "\(outcome.text)")
            }
        }

        @Test func deathOfTheCaller() throws {
            try Self.with(TestCluster.Shape(nodeCount: 8)) { stage in
                let holder = try stage.hold(8)
                let nodes = [0, 1, 2, 4, 5, 6, 7]
                #expect(nodes.allSatisfy { !stage.cluster.processes(on: $0).isEmpty })
                holder.process.end()
                try stage.cluster.expect("the end of every process") {
                    (0..<8).allSatisfy { stage.cluster.processes(on: $0).isEmpty }
                }
                #expect(try stage.cluster.run("0-7", "true").status == 0)
            }
        }

        @Test func deathOfTheCallersSlave() throws {
            try Self.with(TestCluster.Shape(nodeCount: 8)) { stage in
                let holder = try stage.hold(8)
                stage.cluster.slaves[3]?.end()
                let others = [0, 1, 2, 4, 5, 6, 7]
                try stage.cluster.expect("the end of every process") {
                    others.allSatisfy { stage.cluster.processes(on: $0).isEmpty }
                }
                #expect(holder.finish(seconds: TestCluster.patience).status != 0)
                try stage.cluster.waitUntilUp(Set(others))
                #expect(try stage.cluster.run("0-2,4-7", "true").status == 0)
            }
        }

        /// Slaves that wait for their master to come back keep nothing of its jobs.
        @Test func deathOfTheMaster() throws {
            let shape = TestCluster.Shape(nodeCount: 6, slaves: ["--reconnect", "60"])
            try Self.with(shape) { stage in
                let holder = try stage.hold(6)
                stage.cluster.master?.end()
                try stage.cluster.expect("the end of every process") {
                    (0..<6).allSatisfy { stage.cluster.processes(on: $0).isEmpty }
                }
                #expect(holder.finish(seconds: TestCluster.patience).status != 0)
                #expect(stage.cluster.slaves.values.allSatisfy { $0.poll() == nil })
            }
        }

        /// A slave speaks only for users who have processes on its node.
        @Test func aProgramThatNobodyPlaced() throws {
            let socket = "@bproc-test-\(getpid())-stranger"
            let shape = TestCluster.Shape(nodeCount: 2, slave: [1: ["--socket", socket]])
            try Self.with(shape) { stage in
                let image = try stage.image(of: "/bin/echo", "hello")
                let stranger = try Conversation(
                    stage.program, ["image", "2"], environment: ["BPROC_SOCKET": socket],
                    input: image
                ).finish(seconds: TestCluster.patience)
                #expect(stranger.status == 1, "\(stranger.text)")
                #expect(stranger.text.contains("has no process on node 1"), "\(stranger.text)")
                #expect(try stage.cluster.run("0-1", "true").status == 0)
            }
        }

        @Test func withoutAMaster() throws {
            let socket = "@bproc-test-\(getpid())-alone"
            let shape = TestCluster.Shape(
                nodeCount: 1, slave: [0: ["--socket", socket, "--reconnect", "60"]])
            try Self.with(shape) { stage in
                stage.cluster.master?.end()
                try stage.cluster.expect("the loss of the master") {
                    stage.cluster.slaveLog(0).contains("is lost")
                }
                let asked = try Conversation(
                    stage.program, ["ask"], environment: ["BPROC_SOCKET": socket], input: []
                ).finish(seconds: TestCluster.patience)
                #expect(asked.status == 1, "\(asked.text)")
                #expect(asked.text.contains("has no master at present"), "\(asked.text)")
            }
        }
    }
}
