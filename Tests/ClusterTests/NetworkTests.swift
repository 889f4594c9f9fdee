import Glibc
import Testing

extension ClusterTests {
    /// Nodes that are not on loopback: in a network namespace that the test makes, where images of
    /// callers are packed before they travel.
    @Suite(
        .serialized,
        .enabled(if: access("/usr/bin/cc", X_OK) == 0, "needs /usr/bin/cc"),
        .enabled(if: geteuid() == 0, "network namespaces need root"),
        .enabled(
            if: access("/usr/bin/unshare", X_OK) == 0 && access("/sbin/ip", X_OK) == 0,
            "needs unshare and ip"))
    struct Networks {
        /// The daemons, then the program's cases one after the other, each with 20 seconds.
        private static let script = """
            build=$1 program=$2 folder=$3; shift 3
            ip link set lo up || exit 77
            for host in 1 2 3; do ip address add 10.99.0.$host/24 dev lo || exit 77; done
            options="--foreground --log-level info --insecure-no-authentication"
            $build/bpmaster $options --listen 10.99.0.1:7777 --nodes 2 --socket $folder/socket \
                2>$folder/master.log &
            while ! test -S $folder/socket; do sleep 0.02; done
            for node in 0 1; do
                $build/bpslave $options --node $node --listen 10.99.0.$((node + 2)):7777 \
                    10.99.0.1:7777 2>$folder/$node.log &
            done
            $build/bpslave $options --front-end --listen 10.99.0.1:0 10.99.0.1:7777 \
                2>$folder/front-end.log &
            export BPROC_SOCKET=$folder/socket
            while test $(grep -c "is up at" $folder/master.log) -lt 3; do sleep 0.02; done
            for name in "$@"; do
                echo "a line" | timeout -s KILL 20 $program $name $folder || echo "$name: $?"
            done
            """

        @Test func forksAndMovesPackTheirImages() throws {
            let programs = Programs()
            defer { programs.remove() }
            let program = try programs.compileCaller("home.c")
            let folder = TestFolder.make("network")
            defer { TestFile.removeFolder(folder) }
            let outcome = try Conversation(
                "/usr/bin/unshare",
                [
                    "--net", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc", "sh",
                    "-c", Self.script, "sh", TestCluster.build, program, folder, "child", "some",
                ], environment: ["PATH": "/usr/bin:/bin:/usr/sbin:/sbin"], input: []
            ).finish(seconds: TestCluster.patience)
            #expect(outcome.status == 0, "\(outcome.errorText)")
            #expect(outcome.text.contains("child: right\n"), "\(outcome.text)")
            #expect(outcome.text.hasSuffix("some: right\n"), "\(outcome.text)")
            #expect(TestFile.text("\(folder)/master.log").contains("packed to"))
        }
    }
}
