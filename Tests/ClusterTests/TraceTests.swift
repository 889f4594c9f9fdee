import Glibc
import Testing

extension ClusterTests {
    /// What `bpsh --trace` tells of a launch.
    @Suite struct Traces {
        /// The numbers of each rank in the table: node, reached, first chunk, complete, placed,
        /// ended.
        private static func rows(_ text: String) -> [[Double]] {
            text.split(separator: "\n").compactMap { line in
                let words = line.split(separator: " ")
                guard words.count >= 7, Int(words[0]) != nil else { return nil }
                return words[1..<7].compactMap { Double($0) }
            }
        }

        /// Fan-out 2, so that there are relays: a node is reached after the one above it, and no
        /// stage ends before the one before it.
        @Test func stagesFollowEachOther() throws {
            try TestCluster.with(nodes: 7) { cluster in
                let outcome = try cluster.run(
                    "--trace", "-", "--fan-out", "2", "0-6", "sh", "-c", "exit 4")
                #expect(outcome.status == 4)
                #expect(outcome.errorText.contains("7 of 7 ranks placed in "))
                let rows = Self.rows(outcome.errorText)
                try #require(rows.count == 7, "\(outcome.errorText)")
                #expect(Set(rows.map { $0[0] }) == Set((0..<7).map(Double.init)))
                for row in rows {
                    try #require(row.count == 6, "\(row)")
                    #expect(zip(row[1...], row[2...]).allSatisfy { $0 <= $1 }, "\(row)")
                    #expect(row[3] > 0)
                }
                // The plan's tree is in breadth: all but the root's two have somebody above.
                let first = rows.map { $0[1] }.min() ?? 0
                #expect(rows.contains { $0[1] > first })
            }
        }

        @Test func theFileIsATraceOfAllRanks() throws {
            try TestCluster.with(nodes: 3) { cluster in
                let path = "\(cluster.folder)/trace.json"
                #expect(try cluster.run("--trace", path, "0-2,1", "true").status == 0)
                let text = TestFile.text(path)
                let spans = text.split(separator: "\n").filter { $0.contains("\"ph\":\"X\"") }
                // Capture and launch, and five stages of four ranks.
                #expect(spans.count == 2 + 4 * 5, "\(text)")
                #expect(text.split(separator: "\"run, exit 0\"").count == 5)
                let failed = try cluster.run("--trace", "/nothing/here", "0", "echo", "started")
                #expect(failed.status == 255)
                #expect(failed.text.isEmpty)
                #expect(
                    failed.errorText.contains("trace /nothing/here: No such file or directory"))
            }
        }

        /// The JSON is read by a reader that is not ours.
        @Test(.enabled(if: access("/usr/bin/python3", X_OK) == 0, "no python3"))
        func aReaderOfJSONUnderstandsIt() throws {
            try TestCluster.with(nodes: 2) { cluster in
                let path = "\(cluster.folder)/trace.json"
                #expect(try cluster.run("--trace", path, "0-1", "true").status == 0)
                let script =
                    "import json,sys; e=json.load(open(sys.argv[1]))['traceEvents']; "
                    + "print(len(e), all(x['ts']>=0 and x['dur']>=0 for x in e if x['ph']=='X'))"
                let outcome = try cluster.command("/usr/bin/python3", ["-c", script, path])
                #expect(outcome.text.hasSuffix(" True\n"), "\(outcome.text) \(outcome.errorText)")
            }
        }
    }
}
