import Glibc
import Testing

extension ClusterTests {
    /// `make chaos`, small: SIGKILL at any moment of launches, and nothing is left.
    @Suite(
        .serialized,
        .enabled(if: access("/usr/bin/cc", X_OK) == 0, "needs /usr/bin/cc"),
        .enabled(if: access("/usr/bin/python3", X_OK) == 0, "needs python3"),
        .enabled(if: geteuid() == 0, "it takes root to move between nodes with one pid"))
    struct Chaos {
        @Test(arguments: [1, 2]) func leavesNothingBehind(seed: Int) throws {
            let programs = Programs()
            defer { programs.remove() }
            let library = try programs.library()
            let caller = try programs.compile(
                "Benchmarks/workload/chaos.c", with: "/usr/bin/cc",
                ["-O2", "-Wall", "-I\(Package.root)/Sources/CBProc/include"], libraries: [library])
            let run = try Conversation(
                "/usr/bin/python3",
                [
                    "\(Package.root)/Benchmarks/chaos", "--nodes", "8", "--kills", "40",
                    "--minutes", "1", "--seed", "\(seed)", "--no-record", "--caller", caller,
                    "--bin", TestCluster.build,
                ], environment: ["PATH": "/usr/bin:/bin"], input: [])
            // The run's own limits are a minute of chaos, and one for each thing that must end.
            let outcome = run.finish(seconds: 10 * TestCluster.patience)
            #expect(outcome.status == 0, "\(outcome.text)\(outcome.errorText)")
            #expect(outcome.text.contains("Outcome: nothing was left"))
        }
    }
}
