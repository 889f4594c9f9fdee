import Glibc
import Testing

extension ClusterTests {
    /// Processes that come back to the front end, into the ghosts that they have there.
    @Suite(
        .serialized,
        .enabled(if: access("/usr/bin/cc", X_OK) == 0, "needs /usr/bin/cc"),
        .enabled(if: geteuid() == 0, "slaves that give pids are root"))
    struct Homes {
        private static let cases = [
            "own", "belongings", "child", "stops", "signals", "some", "killed", "redirected",
            "mistaken", "suspended", "survivors",
        ]

        private static func with(
            _ body: (TestCluster, String) throws -> Void
        ) throws {
            let programs = Programs()
            defer { programs.remove() }
            let program = try programs.compileCaller("home.c")
            try TestCluster.with(nodes: 2) { cluster in
                try cluster.startFrontEnd()
                chmod("\(cluster.folder)/tmp", 0o777)
                try body(cluster, program)
            }
        }

        private static func run(
            _ cluster: TestCluster, _ program: String, through wrapper: [String] = []
        ) throws {
            for name in cases {
                let command = wrapper + [program, name, cluster.openFolder(name)]
                let outcome = try cluster.command(
                    command[0], Array(command.dropFirst()), input: Array("a line\n".utf8))
                #expect(outcome.status == 0, "\(outcome.text)\(outcome.errorText)")
                #expect(outcome.text.hasSuffix("\(name): right\n"), "\(outcome.text)")
            }
            for node in [-1, 0, 1] {
                try cluster.expect("the end of all processes on node \(node)") {
                    cluster.processes(on: node).isEmpty
                }
            }
        }

        @Test func areTheGhosts() throws {
            try Self.with { cluster, program in
                try Self.run(cluster, program)
                // What was written away from home comes before what was written there.
                let journey = (0..<20).map { "away \($0)\nhome \($0)\n" }.joined()
                let outcome = try cluster.command(program, ["own", cluster.openFolder("own")])
                #expect(outcome.text == journey + "own: right\n")
            }
        }

        @Test(.enabled(if: access("/usr/bin/setpriv", X_OK) == 0, "needs setpriv"))
        func ofAnOrdinaryUserAreToo() throws {
            let wrapper = ["/usr/bin/setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"]
            try Self.with { cluster, program in
                try Self.run(cluster, program, through: wrapper)
            }
        }
    }
}
