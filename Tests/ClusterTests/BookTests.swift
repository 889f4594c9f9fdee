import Glibc
import Testing

extension ClusterTests {
    /// What the servers of ghosts keep, as the master is told and tells it.
    @Suite(
        .serialized,
        .enabled(if: access("/usr/bin/cc", X_OK) == 0, "needs /usr/bin/cc"))
    struct Books {
        /// Lines of the master's book by their names, those of jobs without the jobs' numbers.
        private static func book(_ cluster: TestCluster) throws -> [String: [Int]] {
            let answer = try cluster.command("bpctl", ["--debug"])
            #expect(answer.status == 0, "\(answer.errorText)")
            var lines: [String: [Int]] = [:]
            for line in answer.text.split(separator: "\n").dropFirst() {
                let match = line.wholeMatch(of: /\ \ (?:job \d+, )?([a-z ]+): (\d+)/)
                let said = try #require(match, "\(line)")
                lines[String(said.1), default: []].append(try #require(Int(said.2)))
            }
            return lines
        }

        private static func serverPid(below parent: pid_t) throws -> pid_t {
            let pid = TestFile.names(in: "/proc").compactMap { pid_t($0) }.first { pid in
                guard let words = TestFile.read("/proc/\(pid)/cmdline"),
                    String(decoding: words, as: UTF8.self).contains("--helper=ghosts"),
                    let status = TestFile.read("/proc/\(pid)/status")
                else { return false }
                // A ghost's tracer is its server.
                return String(decoding: status, as: UTF8.self).contains("TracerPid:\t0\n")
                    && pid != parent
            }
            return try #require(pid)
        }

        @Test func aServerOfGhostsSaysWhatItKeeps() throws {
            try Ghosts.with(nodes: 2) { cluster, program in
                let before = try Self.book(cluster)
                #expect(before["ghost servers"] == [0] && before["ghosts"] == nil)
                let job = try Ghosts.family(cluster, program)
                let running = try Self.book(cluster)
                #expect(running["ghost servers"] == [1])
                #expect(running["ghost servers not asked"] == [0])
                #expect(running["ghosts"] == [2])
                #expect(running["running ranks"]?.sorted() == [2, 2], "the master's, and its own")
                for name in [
                    "ended ranks with output to come", "ghosts about to stop", "bytes of output",
                    "bytes not sent",
                ] { #expect(running[name] == [0], "\(name)") }
                // One rank less, one ghost less.
                cluster.slaves[0]?.end()
                try cluster.waitUntilUp([1])
                try cluster.expect("the end of a ghost") {
                    (try? Self.book(cluster)["ghosts"]) == [1]
                }
                // One that is stopped is named, and the answer comes all the same.
                let server = try Self.serverPid(below: job.process.pid)
                kill(server, SIGSTOP)
                let stopped = try Self.book(cluster)
                #expect(stopped["ghost servers"] == [1] && stopped["ghosts"] == nil)
                #expect(stopped["ghost servers that do not answer"] == [1])
                kill(server, SIGCONT)
                cluster.slaves[1]?.end()
                #expect(job.finish(seconds: TestCluster.patience).status == 0)
                try cluster.expect("an empty book") {
                    (try? Self.book(cluster)["ghost servers"]) == [0]
                }
            }
        }

        /// The caller is on a node, and so is their server; that of the front end has bpsh's rank.
        @Test func aServerOnANodeIsAskedThroughItsSlave() throws {
            try Ghosts.with(nodes: 2) { cluster, program in
                let job = try cluster.startJob("0", program, "family", lineCount: 1)
                let running = try Self.book(cluster)
                #expect(running["ghost servers"] == [2])
                #expect(running["ghosts"]?.sorted() == [1, 2])
                #expect(running["ghost servers that do not answer"] == nil)
                job.process.signal(SIGTERM)
                _ = job.finish(seconds: TestCluster.patience)
                try cluster.expect("an empty book") {
                    (try? Self.book(cluster)["ghost servers"]) == [0]
                }
            }
        }
    }
}
