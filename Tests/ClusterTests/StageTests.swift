import Glibc
import Testing

extension ClusterTests {
    /// SIGKILL for whoever takes part in a launch, at each of its stages. The table of stages,
    /// victims and what must come of it is that of `stages.c`.
    @Suite(
        .serialized,
        .enabled(if: access("/usr/bin/cc", X_OK) == 0, "needs /usr/bin/cc"),
        .enabled(if: geteuid() == 0, "seeing what a process waits in takes root"))
    struct Stages {
        struct Entry: CustomStringConvertible {
            let words: [String]
            var victim: String { words[2] }
            var description: String { words.joined(separator: " ") }
        }

        private static func with(_ body: (Programs, String, [Entry]) throws -> Void) throws {
            let programs = Programs()
            defer { programs.remove() }
            let program = try programs.compileCaller("stages.c")
            let list = try Conversation(program, ["list"], environment: [:], input: [])
                .finish(seconds: TestCluster.patience)
            let table = list.text.split(separator: "\n").map {
                Entry(words: $0.split(separator: " ").map(String.init))
            }
            #expect(table.count > 100)
            try body(programs, program, table)
        }

        /// One launch and one death.
        private static func strike(
            _ entry: Entry, with program: String, on cluster: TestCluster
        ) throws {
            let folder = TestFolder.make("stage")
            defer { TestFile.removeFolder(folder) }
            let daemons = [cluster.master] + (0..<3).map { cluster.slaves[$0] }
            let outcome = try cluster.command(
                program, entry.words + [folder] + daemons.map { "\($0?.pid ?? 0)" })
            #expect(
                outcome.status == 0 && outcome.text == "right\n",
                "\(entry): \(outcome.text)\(outcome.errorText)")
            guard entry.victim == "slave" else { return }
            #expect(cluster.slaves[1]?.wait(seconds: TestCluster.patience) == 128 + SIGKILL)
            try cluster.startSlave(1)
            try cluster.waitUntilUp([0, 1, 2])
        }

        /// Every stage and every victim of one call, and every stage of the others.
        @Test func nobodysDeathLeavesAnythingBehind() throws {
            try Self.with { _, program, table in
                try TestCluster.with(nodes: 3) { cluster in
                    for entry in table where entry.victim != "master" {
                        guard entry.words[0] == "vexecmove" || entry.victim == "caller" else {
                            continue
                        }
                        try Self.strike(entry, with: program, on: cluster)
                        cluster.expectNothingLeft()
                    }
                }
            }
        }

        /// With the master everything ends, at whatever stage.
        @Test func theMastersDeathIsToldAtEveryStage() throws {
            try Self.with { _, program, table in
                for entry in table where entry.victim == "master" {
                    guard entry.words[0] == "vexecmove" else { continue }
                    try TestCluster.with(nodes: 3) { cluster in
                        try Self.strike(entry, with: program, on: cluster)
                    }
                }
            }
        }
    }
}
