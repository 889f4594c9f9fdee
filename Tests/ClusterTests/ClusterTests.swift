import Glibc
import Testing

/// Real daemons on one machine. One cluster at a time: they share the machine's cores and ports.
@Suite(.serialized) enum ClusterTests {}

extension ClusterTests {
    /// Ordinary programs on ordinary nodes, as a user runs them.
    @Suite(.serialized) struct Basics {
        @Test func sixtyFourNodes() throws {
            try TestCluster.with(nodes: 64) { cluster in try Self.basics(of: cluster) }
        }

        /// What every 64-node cluster must do, whatever it runs on.
        static func basics(of cluster: TestCluster) throws {
            let list = try cluster.run("0-15", "ls", "/")
            #expect(list.status == 0, "\(list.errorText)")
            #expect(list.sortedLines.filter { $0 == "proc" }.count == 16)

            let exit = try cluster.run("0-63", "sh", "-c", "exit 7")
            #expect(exit.status == 7, "\(exit.errorText)")

            let killed = try cluster.run("5", "sh", "-c", "kill -TERM $$")
            #expect(killed.status == 128 + SIGTERM)
            #expect(killed.errorText.contains("node 5: killed by signal 15"))

            let both = try cluster.run("0-63", "sh", "-c", "echo out; echo err >&2")
            #expect(both.status == 0)
            #expect(both.sortedLines == Array(repeating: "out", count: 64))
            #expect(both.errorText == String(repeating: "err\n", count: 64))

            let input = try cluster.run("-L", "0-63", "cat", input: Array("to all of you\n".utf8))
            #expect(input.status == 0, "\(input.errorText)")
            #expect(input.sortedLines == Array(repeating: "to all of you", count: 64))

            if access("/usr/bin/python3", X_OK) == 0 {
                let python = try cluster.run(
                    "0-63", "/usr/bin/python3", "-c", "import math; print(math.factorial(20))")
                #expect(python.status == 0, "\(python.errorText)")
                #expect(python.sortedLines == Array(repeating: "2432902008176640000", count: 64))
            }
        }

        @Test func rankAndNodeAreInTheEnvironment() throws {
            try TestCluster.with(nodes: 3) { cluster in
                let outcome = try cluster.run("-p", "2,0,1", "sh", "-c", "echo $BPROC_RANK")
                #expect(outcome.status == 0, "\(outcome.errorText)")
                let ranks = outcome.sortedLines.map { $0.split(separator: ":") }
                #expect(ranks.map { Int($0[0].filter(\.isNumber)) } == [0, 1, 2])
                let numbers = ranks.map { Int($0[1].filter(\.isNumber)) }
                #expect(numbers == [1, 2, 0], "\(outcome.text)")
            }
        }

        @Test func severalRanksOnOneNode() throws {
            try TestCluster.with(nodes: 2) { cluster in
                let outcome = try cluster.run("0,0,1,1", "sh", "-c", "echo $$")
                #expect(outcome.status == 0, "\(outcome.errorText)")
                #expect(Set(outcome.sortedLines).count == 4)
            }
        }

        @Test func aMebibyteFromEachRankArrivesWhole() throws {
            try TestCluster.with(nodes: 4) { cluster in
                // seq makes lines that say what is missing; 149797 of them are just over 1 MiB.
                let outcome = try cluster.run("-p", "0-3", "seq", "1", "160000")
                #expect(outcome.status == 0, "\(outcome.errorText)")
                var next = [Int](repeating: 1, count: 4)
                for line in outcome.text.split(separator: "\n") {
                    let parts = line.split(separator: ":")
                    // No macro here: it would cost more than all the rest, 640 000 times.
                    guard let node = Int(parts[0].drop { $0 == " " }), next.indices.contains(node),
                        Int(parts[1].drop { $0 == " " }) == next[node]
                    else {
                        Issue.record("a line that does not fit: \(line) \(next)")
                        return
                    }
                    next[node] += 1
                }
                #expect(next == [160001, 160001, 160001, 160001])
            }
        }

        @Test func aMebibyteOfInputReachesEveryRank() throws {
            try TestCluster.with(nodes: 4) { cluster in
                let input = (0..<(1 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
                let outcome = try cluster.run("0-3", "cksum", input: input)
                let here = try cluster.command("/usr/bin/cksum", [], input: input)
                #expect(outcome.status == 0, "\(outcome.errorText)")
                #expect(outcome.text == String(repeating: here.text, count: 4))
            }
        }

        @Test func aSecondLaunchRunsWhileTheFirstDoes() throws {
            try TestCluster.with(nodes: 4) { cluster in
                let first = try cluster.startJob("0-3", "sh", "-c", "echo up; cat", lineCount: 4)
                let second = try cluster.run("0-3", "echo", "second")
                #expect(second.text == String(repeating: "second\n", count: 4))
                #expect(first.process.poll() == nil)
                let outcome = first.finish(seconds: TestCluster.patience)
                #expect(outcome.status == 0 && !outcome.isOverdue, "\(outcome.errorText)")
            }
        }
    }
}

extension ClusterTests {
    /// The way a user gets a cluster.
    @Suite(.serialized) struct LocalClusters {
        /// Again and again: a slave that is faster than the master must not matter.
        @Test func upAndDown() throws {
            let folder = TestFolder.make("local")
            defer { TestFile.removeFolder(folder) }
            for _ in 0..<5 {
                let up = try Self.bpcluster(["up", "--local", "4", "--dir", "\(folder)/c"])
                #expect(up.status == 0, "\(up.errorText)")
                let run = try Self.bpcluster(
                    ["bench", "--dir", "\(folder)/c", Workload.program])
                #expect(run.status == 0, "\(run.errorText)")
                let down = try Self.bpcluster(["down", "--dir", "\(folder)/c"])
                #expect(down.status == 0, "\(down.errorText)")
                // The master, its slave of the front end, and the four.
                #expect(down.text.contains("6 daemons stopped"), "\(down.text)")
            }
        }

        private static func bpcluster(_ arguments: [String]) throws -> Subprocess.Outcome {
            let path = "\(TestCluster.build)/bpcluster"
            let environment = ["PATH": "/usr/bin:/bin"]
            let outcome = try Conversation(
                path, arguments, environment: environment, input: []
            ).finish(seconds: TestCluster.patience)
            #expect(!outcome.isOverdue, "bpcluster \(arguments) hangs")
            return outcome
        }
    }
}
