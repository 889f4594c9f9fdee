import Glibc
import Testing

extension ClusterTests {
    /// What the daemons write to standard error.
    @Suite(.serialized) struct Logs {
        private static func lines(_ text: String) -> [Substring] {
            text.split(separator: "\n")
        }

        @Test func componentsHaveLevelsOfTheirOwn() throws {
            var shape = TestCluster.Shape(nodeCount: 1)
            shape.master = ["--log-level", "error,node=info,launch=trace"]
            try TestCluster.with(shape) { cluster in
                let outcome = try cluster.run("0", "sh", "-c", "exit 3")
                #expect(outcome.status == 3)
                let lines = Self.lines(cluster.masterLog)
                for line in lines {
                    let match = line.wholeMatch(of: /\S+ ([a-z]+) bpmaster\.(node|launch): .+/)
                    #expect(match != nil, "\(line)")
                }
                #expect(lines.contains { $0.contains(" info bpmaster.node: node 0 is up at ") })
                #expect(
                    lines.contains {
                        $0.contains(" debug bpmaster.launch: launch ")
                            && $0.contains(": 1 ranks for user ")
                    })
                #expect(lines.contains { $0.contains(" trace bpmaster.launch: process ") })
                // The slave keeps to the level that all clusters of the tests have.
                #expect(cluster.slaveLog(0).contains(" bpslave.link: node 0 of the master "))
            }
        }

        @Test func theJournalHasPrioritiesAndNoTime() throws {
            var shape = TestCluster.Shape(nodeCount: 1)
            // As systemd starts them: the variable names what standard error is.
            shape.wrapper = [
                "/bin/sh", "-c",
                "JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) exec \"$@\"", "sh",
            ]
            try TestCluster.with(shape) { cluster in
                let outcome = try cluster.run("0", "true")
                #expect(outcome.status == 0)
                for log in [cluster.masterLog, cluster.slaveLog(0)] {
                    #expect(Self.lines(log).count > 1)
                    for line in Self.lines(log) {
                        let match = line.wholeMatch(
                            of: /<[2-7]>(daemon|link|relay|launch|node|hook|program): .+/)
                        #expect(match != nil, "\(line)")
                    }
                }
                #expect(cluster.masterLog.contains("<6>node: node 0 is up at "))
            }
        }

        @Test func anotherStreamThanTheJournalsHasTimes() throws {
            var shape = TestCluster.Shape(nodeCount: 1)
            shape.wrapper = ["/usr/bin/env", "JOURNAL_STREAM=1:2"]
            try TestCluster.with(shape) { cluster in
                #expect(cluster.masterLog.contains(" info bpmaster.node: node 0 is up at "))
                #expect(!cluster.masterLog.contains("<6>"))
            }
        }

        @Test func levelsChangeWhenTheConfigurationIsReadAgain() throws {
            let folder = TestFolder.make("log")
            defer { TestFile.removeFolder(folder) }
            let file = "\(folder)/master.json5"
            TestFile.write("{ 'log-level': 'error' }", to: file)
            let master = try Conversation(
                "\(TestCluster.build)/bpmaster",
                [
                    "--foreground", "--config", file, "--listen", "127.0.0.1:0", "--socket",
                    "\(folder)/socket",
                ], environment: [:], input: nil)
            Waiting.until(seconds: TestCluster.patience) { access("\(folder)/socket", F_OK) == 0 }
            TestFile.write("{ 'log-level': 'error,daemon=notice' }", to: file)
            master.process.signal(SIGHUP)
            master.serve(seconds: TestCluster.patience) { master.errorText.contains("\n") }
            #expect(
                master.errorText.contains(
                    " notice bpmaster.daemon: the configuration has been read again: "),
                "\(master.errorText)")
            master.process.signal(SIGTERM)
            #expect(master.finish(seconds: TestCluster.patience).status == 0)
        }

        @Test(arguments: ["bpmaster", "bpslave"])
        func unknownComponentsAreRefused(daemon: String) throws {
            let outcome = try Conversation(
                "\(TestCluster.build)/\(daemon)", ["--log-level", "info,rely=debug", "127.0.0.1"],
                environment: [:], input: []
            ).finish(seconds: TestCluster.patience)
            #expect(outcome.status == 64)
            #expect(
                outcome.errorText.contains(
                    "'rely' is not a component of the log: daemon, link, relay,"),
                "\(outcome.errorText)")
        }
    }
}
