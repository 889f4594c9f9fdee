import Glibc
import Testing

extension ClusterTests {
    /// What the master has counted, as a monitoring system reads it.
    @Suite(.serialized) struct Metrics {
        /// Samples by their name and labels, as in `bproc_nodes{state="up"}`.
        typealias Samples = [String: Double]

        /// Reads the exposition format: every line is a comment of two kinds or a sample, each name
        /// has one type, which stands before its samples, and no sample is there twice.
        static func parse(_ text: String) throws -> Samples {
            try #require(text.hasSuffix("\n"))
            var samples: Samples = [:]
            var types: [Substring: Substring] = [:]
            for line in text.split(separator: "\n", omittingEmptySubsequences: false).dropLast() {
                if line.wholeMatch(of: /# HELP [a-z_]+ .+/) != nil { continue }
                if let type = line.wholeMatch(of: /# TYPE ([a-z_]+) (counter|gauge|histogram)/) {
                    #expect(types.updateValue(type.2, forKey: type.1) == nil, "\(line)")
                    continue
                }
                guard
                    let sample = line.wholeMatch(
                        of: /([a-z_]+)(\{[a-z]+="[A-Za-z0-9+.-]+"\})? ([0-9.]+)/),
                    let value = Double(sample.3)
                else {
                    Issue.record("no line of the format: \(line)")
                    continue
                }
                let family = ["_bucket", "_sum", "_count"].compactMap { suffix in
                    sample.1.hasSuffix(suffix) ? sample.1.dropLast(suffix.count) : nil
                }.first { types[$0] == "histogram" }
                #expect(types[family ?? sample.1] != nil, "\(line)")
                let name = String(sample.1) + String(sample.2 ?? "")
                #expect(samples.updateValue(value, forKey: name) == nil, "\(line)")
            }
            return samples
        }

        private static func with(_ body: (TestCluster, UInt16) throws -> Void) throws {
            var shape = TestCluster.Shape(nodeCount: 3)
            shape.master = ["--metrics", "127.0.0.1:0"]
            try TestCluster.with(shape) { cluster in
                let line = try #require(
                    cluster.masterLog.firstMatch(of: /metrics at http:..127.0.0.1:(\d+).metrics/))
                try body(cluster, try #require(UInt16(line.1)))
            }
        }

        /// Says something on a connection of its own, and reads until its end.
        private static func ask(_ port: UInt16, _ words: String) throws -> String {
            let link = try #require(RawLink("127.0.0.1", port))
            link.send(Array(words.utf8))
            return String(decoding: try #require(link.readToEnd()), as: UTF8.self)
        }

        private static func scrape(_ port: UInt16) throws -> Samples {
            let answer = try ask(port, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            let end = try #require(answer.firstRange(of: "\r\n\r\n"))
            let head = answer[..<end.lowerBound]
            let body = String(answer[end.upperBound...])
            #expect(head.hasPrefix("HTTP/1.1 200 OK\r\n"))
            #expect(head.contains("Content-Type: text/plain; version=0.0.4"))
            #expect(head.contains("Content-Length: \(body.utf8.count)"))
            return try parse(body)
        }

        @Test func launchesAreCounted() throws {
            try Self.with { cluster, port in
                let before = try Self.scrape(port)
                #expect(before["bproc_nodes{state=\"up\"}"] == 3)
                #expect(before["bproc_node_arrivals_total"] == 3)
                #expect(before["bproc_launches_begun_total"] == 0)
                #expect(before["bproc_launch_placed_seconds_bucket{le=\"+Inf\"}"] == 0)
                #expect(try cluster.run("0-2", "true").status == 0)
                #expect(try cluster.run("0-1", "sh", "-c", "kill -9 $$").status == 137)
                #expect(try cluster.run("-I", "/no/such/file", "0,1", "cat").status == 255)
                cluster.slaves[2]?.signal(SIGTERM)
                try cluster.waitUntilUp([0, 1])
                #expect(try cluster.run("1-2", "true").status == 255)
                let after = try Self.scrape(port)
                let expected: Samples = [
                    "bproc_nodes{state=\"up\"}": 2, "bproc_nodes{state=\"down\"}": 1,
                    "bproc_node_losses_total": 1, "bproc_launches_begun_total": 4,
                    "bproc_launches_answered_total{result=\"complete\"}": 2,
                    "bproc_launches_answered_total{result=\"partial\"}": 1,
                    "bproc_launches_answered_total{result=\"failed\"}": 1,
                    "bproc_launches_ended_total": 4, "bproc_launches": 0, "bproc_processes": 0,
                    "bproc_ranks_placed_total": 6, "bproc_ranks_failed_total{stage=\"io\"}": 2,
                    "bproc_ranks_failed_total{stage=\"plan\"}": 1,
                    "bproc_ranks_failed_total{stage=\"node\"}": 0,
                    "bproc_ranks_ended_total{cause=\"exit\"}": 4,
                    "bproc_ranks_ended_total{cause=\"signal\"}": 2,
                    "bproc_launch_placed_seconds_count": 2, "bproc_relays_healed_total": 0,
                    "bproc_ranks_stalled_total": 0, "bproc_local_programs": 0,
                ]
                for (name, value) in expected {
                    #expect(after[name] == value, "\(name)")
                }
                #expect(try #require(after["bproc_launch_placed_seconds_sum"]) > 0)
                let images = try #require(after["bproc_image_bytes_total"])
                #expect(images > 0)
                // The fan-out of so few nodes on one machine is all of them.
                #expect(try #require(after["bproc_relay_sent_bytes_total"]) >= images)
                let said = try cluster.command("bpctl", ["--metrics"])
                let local = try Self.parse(said.text)
                #expect(local["bproc_launches_begun_total"] == 4)
                #expect(Set(local.keys) == Set(after.keys))
                #expect(local["bproc_local_programs"] == 1)
            }
        }

        @Test func signalsAndLossesAreCounted() throws {
            try Self.with { cluster, port in
                let job = try cluster.startJob(
                    "0-2", "sh", "-c", "trap 'exit 4' TERM; echo a; read x", lineCount: 3)
                let running = try Self.scrape(port)
                #expect(running["bproc_launches"] == 1 && running["bproc_processes"] == 3)
                // bpsh, and what serves the ghosts of its ranks.
                #expect(try #require(running["bproc_local_programs"]) >= 1)
                cluster.slaves[1]?.signal(SIGKILL)
                try cluster.waitUntilUp([0, 2])
                job.process.signal(SIGTERM)
                _ = job.finish(seconds: TestCluster.patience)
                let after = try Self.scrape(port)
                #expect(after["bproc_ranks_ended_total{cause=\"node\"}"] == 1)
                #expect(after["bproc_signals_forwarded_total"] == 2)
                #expect(after["bproc_node_losses_total"] == 1)
            }
        }

        @Test func whatIsNoRequestIsRefused() throws {
            try Self.with { cluster, port in
                for (words, status) in [
                    ("GET / HTTP/1.1\r\n\r\n", "404 Not Found"),
                    ("POST /metrics HTTP/1.1\r\n\r\n", "405 Method Not Allowed"),
                    ("hello\n\n", "400 Bad Request"),
                    ("GET /metrics HTTP/1.1\r\n" + String(repeating: "x", count: 8169), "431 "),
                ] {
                    let answer = try Self.ask(port, words)
                    #expect(answer.hasPrefix("HTTP/1.1 \(status)"), "\(answer)")
                }
                // Those that say nothing keep nobody else from being served for ever.
                let silent = (0..<16).compactMap { _ in RawLink("127.0.0.1", port) }
                #expect(silent.count == 16)
                #expect(try cluster.run("0", "true").status == 0)
                try cluster.expect("a place for another") {
                    (try? Self.ask(port, "GET /metrics HTTP/1.1\r\n\r\n"))?.isEmpty == false
                }
                #expect(try Self.scrape(port)["bproc_launches_begun_total"] == 1)
                withExtendedLifetime(silent) {}
            }
        }
    }
}
