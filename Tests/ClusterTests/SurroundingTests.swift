import Glibc
import Testing

extension ClusterTests {
    /// What surrounds the daemons and their callers: addresses, limits, signals.
    @Suite(.serialized) struct Surroundings {
        private static let hasIPv6: Bool = {
            let descriptor = socket(AF_INET6, Int32(SOCK_STREAM.rawValue) | O_CLOEXEC, 0)
            defer { close(descriptor) }
            var address = sockaddr_in6()
            address.sin6_family = sa_family_t(AF_INET6)
            address.sin6_addr = in6addr_loopback
            return withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in6>.size))
                }
            } == 0
        }()

        /// Control links and two levels of relay links, all over ::1.
        @Test(.enabled(if: hasIPv6, "::1 cannot be bound here"))
        func aClusterOnIPv6() throws {
            let shape = TestCluster.Shape(nodeCount: 7, usesIPv6: true)
            try TestCluster.with(shape) { cluster in
                #expect(cluster.masterLog.contains("[0:0:0:0:0:0:0:1]:"), "\(cluster.masterLog)")
                let outcome = try cluster.run(
                    "--fan-out", "2", "0-6", "cat", input: Array("over six\n".utf8))
                #expect(outcome.status == 0, "\(outcome.errorText)")
                #expect(outcome.sortedLines == Array(repeating: "over six", count: 7))
                let addresses = try cluster.command("bpstat", ["-a", "0-6"])
                #expect(addresses.sortedLines == Array(repeating: "::1", count: 7))
                #expect(try cluster.command("bpstat", ["-A", "::1"]).sortedLines.count == 7)
                cluster.slaves[0]?.end()
                try cluster.waitUntilUp(Set(1..<7))
                #expect(try cluster.run("1-6", "true").status == 0)
            }
        }

        /// A master that runs out of descriptors says so once, waits, and goes on.
        @Test func clientsBeyondTheDescriptorLimit() throws {
            let shape = TestCluster.Shape(
                nodeCount: 1, wrapper: ["/usr/bin/prlimit", "--nofile=48:48"])
            try TestCluster.with(shape) { cluster in
                var clients = (0..<64).map { _ in Self.client(of: cluster.socket) }
                #expect(clients.allSatisfy { $0 >= 0 })
                try cluster.expect("the master's word") {
                    cluster.masterLog.contains("local programs wait: accept: Too many open files")
                }
                for client in clients { close(client) }
                clients = []
                #expect(try cluster.run("0", "echo", "well").text == "well\n")
                let told = cluster.masterLog.split(separator: "\n").filter {
                    $0.contains("local programs wait")
                }
                #expect(told.count == 1, "\(told)")
            }
        }

        private static func client(of path: String) -> Int32 {
            let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | O_CLOEXEC, 0)
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
            let result = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
                }
            }
            return result == 0 ? descriptor : -1
        }

        /// Blocked and ignored signals of a program on a node are those of bpsh's caller: nothing
        /// of the library, the helper, or the daemons is left in them.
        @Test(arguments: [
            [], ["--block-signal=USR1,WINCH", "--ignore-signal=USR2,HUP"],
            ["--ignore-signal=CHLD,PIPE"], ["--block-signal=CHLD,TERM,INT"],
        ])
        func signalsAreTheCallers(_ options: [String]) throws {
            try TestCluster.with(nodes: 1) { cluster in
                let wanted = ["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"]
                let here = try cluster.command("/usr/bin/env", options + wanted)
                let there = try cluster.command(
                    "/usr/bin/env", options + ["\(TestCluster.build)/bpsh", "0"] + wanted)
                #expect(here.status == 0 && there.status == 0, "\(there.errorText)")
                #expect(there.text == here.text)
            }
        }

        /// A user who stops his processes as soon as they are his does not stop the daemon that
        /// makes them: it shares nothing with them by then.
        @Test(.enabled(if: geteuid() == 0, "becoming a user needs root"))
        func aUserWhoStopsHisProcesses() throws {
            let programs = Programs()
            defer { programs.remove() }
            let stopper = try programs.compile("stopper.c", with: "/usr/bin/cc", ["-O1"])
            let user = ["--reuid", "54324", "--regid", "54324", "--clear-groups"]
            try TestCluster.with(nodes: 1) { cluster in
                let slave = try #require(cluster.slaves[0])
                let attack = try cluster.conversation(
                    "/usr/bin/setpriv", user + [stopper, "\(slave.pid)"], input: nil)
                try cluster.expect("the attacker") {
                    attack.serve(seconds: 1) { attack.text == "ready\n" }
                }
                let ranks = Array(repeating: "0", count: 64).joined(separator: ",")
                let victims = try cluster.conversation(
                    "/usr/bin/setpriv",
                    user + ["\(TestCluster.build)/bpsh", ranks, "cat"], input: nil)
                try cluster.expect("ranks of the user") { cluster.processes(on: 0).count == 64 }
                // The daemon answers, and starts what is not the user's.
                for _ in 0..<10 { #expect(try cluster.run("0", "true").status == 0) }
                attack.process.end()
                for process in cluster.processes(on: 0) { kill(process.pid, SIGCONT) }
                let outcome = victims.finish(seconds: TestCluster.patience)
                #expect(outcome.status == 0 && !outcome.isOverdue, "\(outcome.errorText)")
            }
        }
    }
}
