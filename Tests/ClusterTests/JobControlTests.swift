import Glibc
import Testing

extension ClusterTests {
    /// bpsh as a job of an interactive shell.
    @Suite(
        .serialized,
        .enabled(if: access("/bin/bash", X_OK) == 0, "needs bash"))
    struct JobControl {
        /// A shell at a terminal, and the ranks of its jobs.
        private struct Session {
            let cluster: TestCluster
            let shell: Terminal

            init(_ cluster: TestCluster) throws {
                self.cluster = cluster
                var environment = cluster.environment
                environment["PATH"] = "\(TestCluster.build):\(environment["PATH"]!)"
                environment["PS1"] = "$ "
                environment["TERM"] = "dumb"
                shell = try Terminal(
                    "/bin/bash", ["--norc", "--noprofile", "--noediting", "-i"],
                    environment: environment)
            }

            func expect(_ what: String, _ condition: () -> Bool) throws {
                guard shell.serve(seconds: TestCluster.patience, until: condition) else {
                    throw TestCluster.Failure(
                        description: "waited in vain for \(what); terminal: \(shell.text)")
                }
            }

            var ranks: [RunningProcess] {
                RunningProcess.descendants(of: cluster.slaves.values.map(\.pid))
                    .filter { !$0.isInitial }
            }

            /// What the shell has started, by the names that ps shows.
            func count(of name: String) -> Int {
                RunningProcess.descendants(of: [shell.process.pid])
                    .count { TestFile.text("/proc/\($0.pid)/comm") == name + "\n" }
            }

            /// How often it stands on the terminal.
            func occurrences(of text: String) -> Int {
                shell.text.split(separator: text, omittingEmptySubsequences: false).count - 1
            }

            /// Types a command and waits for what it writes to contain this once more.
            func run(_ command: String, until text: String) throws {
                let before = occurrences(of: text)
                shell.type(command + "\n")
                try expect("'\(text)' of \(command)") { occurrences(of: text) > before }
            }
        }

        /// Stops, continues and interrupts reach every rank, and the shell sees one job.
        @Test(arguments: [3, 64]) func aShellRulesAllRanks(nodeCount: Int) throws {
            try TestCluster.with(nodes: nodeCount) { cluster in
                let session = try Session(cluster)
                session.shell.type("bpsh -a sleep 1000\n")
                try session.expect("the ranks") { session.ranks.count == nodeCount }
                try session.expect("the ghosts") { session.count(of: "sleep") == nodeCount }
                for word in ["bg", "fg"] {
                    let stops = session.occurrences(of: "Stopped")
                    session.shell.press(control: "Z")
                    try session.expect("the job's stop") {
                        session.occurrences(of: "Stopped") > stops
                    }
                    try session.expect("the stop of all ranks") {
                        session.ranks.count(where: \.isStopped) == nodeCount
                    }
                    try session.run("jobs", until: "Stopped")
                    session.shell.type(word + "\n")
                    try session.expect("ranks that go on") {
                        !session.ranks.contains(where: \.isStopped)
                    }
                    if word == "bg" {
                        try session.run("jobs", until: "Running")
                        session.shell.type("fg\n")
                    }
                    // The shell names the job before it hands the terminal over.
                    try session.expect("the foreground") {
                        session.shell.foregroundGroup != session.shell.process.pid
                    }
                }
                #expect(session.ranks.count == nodeCount)
                session.shell.press(control: "C")
                try session.expect("the end of all ranks") { session.ranks.isEmpty }
                // Until then bpsh reads what is typed.
                try session.expect("the prompt") { session.shell.text.hasSuffix("$ ") }
                try session.run("echo status=$?", until: "status=130")
                try session.expect("the end of the ghosts") { session.count(of: "sleep") == 0 }
                session.shell.type("exit\n")
                try session.expect("the end of the shell") { session.shell.process.poll() != nil }
            }
        }

        /// In the background bpsh leaves the terminal alone; in the foreground it reads it.
        @Test func theTerminalIsReadInTheForegroundOnly() throws {
            try TestCluster.with(nodes: 1) { cluster in
                let session = try Session(cluster)
                session.shell.type("bpsh 0 cat &\n")
                try session.expect("the rank") { session.ranks.count == 1 }
                // The shell's, not the rank's.
                try session.run("echo $((6 * 7))", until: "42")
                try session.run("jobs", until: "Running")
                try session.run("fg", until: "bpsh 0 cat\r\n")
                // The terminal's echo, and the rank's.
                session.shell.type("word\n")
                try session.expect("an answer") { session.occurrences(of: "word") >= 2 }
                session.shell.press(control: "D")
                try session.expect("the prompt") { session.shell.text.hasSuffix("$ ") }
                try session.run("echo status=$?", until: "status=0")
                #expect(session.ranks.isEmpty)
                session.shell.type("exit\n")
                try session.expect("the end of the shell") { session.shell.process.poll() != nil }
            }
        }

        /// Whoever signals to bpsh alone signals to all ranks, as before.
        @Test func aSignalToBpshIsForAllRanks() throws {
            try TestCluster.with(nodes: 2) { cluster in
                let job = try cluster.conversation("bpsh", ["-a", "sleep", "1000"], input: nil)
                func ranks() -> Int { (0..<2).reduce(0) { $0 + cluster.processes(on: $1).count } }
                let isThere = job.serve(seconds: TestCluster.patience) {
                    ranks() == 2
                        && RunningProcess.descendants(of: [job.process.pid]).count == 2
                }
                #expect(isThere)
                job.process.signal(SIGTERM)
                let outcome = job.finish(seconds: TestCluster.patience)
                #expect(outcome.status == 128 + SIGTERM)
                try cluster.expect("the end of all ranks") { ranks() == 0 }
            }
        }
    }
}
