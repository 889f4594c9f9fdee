import Glibc
import Testing

extension ClusterTests {
    /// Commands and node lists that cannot work, or are larger than life.
    @Suite(.serialized) struct HostileCommands {
        @Test func unknownNodesFailByNameAndTheRestRuns() throws {
            try TestCluster.with(nodes: 4) { cluster in
                // Every second number: none can share a line with its neighbour.
                let numbers = stride(from: 10_000, to: 30_000, by: 2).map { "\($0)" }
                let list = numbers.joined(separator: ",")
                let outcome = try cluster.run("0-3,\(list)", "echo", "here")
                #expect(outcome.status == 255)
                #expect(outcome.text == String(repeating: "here\n", count: 4))
                let missing = outcome.errorText.split(separator: "\n").map(String.init)
                #expect(
                    missing == numbers.map { "bpsh: node \($0): Invalid node number" },
                    "\(missing.count) lines")

                let range = try cluster.run("0-3,50000-59999", "echo", "here")
                #expect(range.status == 255)
                #expect(range.text == String(repeating: "here\n", count: 4))
                #expect(range.errorText.contains("node 50000-59999: Invalid node number"))
            }
        }

        @Test func nodesThatAreDownFailByNameAndTheRestRuns() throws {
            try TestCluster.with(nodes: 4) { cluster in
                cluster.slaves[2]?.end()
                try cluster.waitUntilUp([0, 1, 3])
                let outcome = try cluster.run("0-3", "echo", "here")
                #expect(outcome.status == 255)
                #expect(outcome.text == String(repeating: "here\n", count: 3))
                #expect(outcome.errorText.contains("node 2"), "\(outcome.errorText)")
            }
        }

        @Test func setsWithoutAnyNode() throws {
            try TestCluster.with(nodes: 1) { cluster in
                for nodes in ["7", "down", ""] {
                    let outcome = try cluster.run(nodes, "echo", "nowhere")
                    #expect(outcome.status != 0, "'\(nodes)'")
                    #expect(outcome.text.isEmpty, "'\(nodes)'")
                    #expect(outcome.errorText.contains("bpsh: "), "'\(nodes)'")
                }
            }
        }

        @Test func commandsThatCannotBeExecuted() throws {
            try TestCluster.with(nodes: 1) { cluster in
                let plain = TestFile.write("echo no\n", to: "\(cluster.folder)/plain")
                let cases = [
                    ("/nowhere/at/all", "command not found", Int32(127)),
                    ("surely-no-such-command", "command not found", 127),
                    (plain, "permission denied", 126),
                    ("/tmp", "is a directory", 126),
                ]
                for (name, sentence, status) in cases {
                    let outcome = try cluster.run("0", name)
                    #expect(outcome.status == status, "\(name)")
                    #expect(outcome.errorText.contains(sentence), "\(name): \(outcome.errorText)")
                    #expect(outcome.text.isEmpty)
                }
                let nonsense = TestFile.write("nonsense", to: "\(plain)2", mode: 0o755)
                let outcome = try cluster.run("0", nonsense)
                #expect(outcome.status == 126)
                #expect(outcome.errorText.contains(nonsense), "\(outcome.errorText)")
                #expect(try cluster.run("0", "echo", "well").text == "well\n")
            }
        }

        /// A file that may be executed but not read: the front end must not open it with more
        /// rights than the caller has, and whatever it answers comes without a hang.
        @Test func aCommandThatCannotBeRead() throws {
            try #require(geteuid() == 0, "needs root to start bpsh as another user")
            try TestCluster.with(nodes: 1) { cluster in
                let copy = "\(cluster.folder)/secret"
                #expect(try cluster.command("/bin/cp", ["/bin/echo", copy]).status == 0)
                chmod(copy, 0o711)
                chmod(cluster.socket, 0o777)
                let outcome = try cluster.command(
                    "/usr/bin/setpriv",
                    [
                        "--reuid", "65534", "--regid", "65534", "--clear-groups",
                        "\(TestCluster.build)/bpsh", "0", copy, "read",
                    ])
                #expect(outcome.status != 0)
                #expect(outcome.text.isEmpty, "an image of a file that its user cannot read")
                #expect(outcome.errorText.contains(copy), "\(outcome.errorText)")
            }
        }

        @Test func argumentsAndEnvironmentOfTwoMegabytes() throws {
            try TestCluster.with(nodes: 2) { cluster in
                // 1 MB each, in strings below the kernel's limit for one; a larger stack limit
                // allows them.
                let script = """
                    ulimit -s 65536
                    piece=$(printf '%0100000d' 0)
                    for i in 1 2 3 4 5 6 7 8 9 10; do
                        set -- "$@" "$piece"
                        export "LARGE$i=$piece"
                    done
                    exec \(TestCluster.build)/bpsh 0-1 sh -c 'env | grep -c "^LARGE[0-9]*=0*$"
                    echo $# ${#10}' name "$@"
                    """
                let outcome = try cluster.command("/bin/sh", ["-c", script])
                #expect(outcome.status == 0, "\(outcome.errorText.prefix(400))")
                #expect(outcome.sortedLines == ["10", "10", "10 100000", "10 100000"])
            }
        }

        @Test func scripts() throws {
            try TestCluster.with(nodes: 2) { cluster in
                let script = TestFile.write(
                    "#!/bin/sh\necho ${0##*/} $1 from $0\ncat $0 | wc -l\n",
                    to: "\(cluster.folder)/script", mode: 0o755)
                let outcome = try cluster.run("0-1", script, "argument")
                #expect(outcome.status == 0, "\(outcome.errorText)")
                let line =
                    geteuid() == 0
                    ? "script argument from /proc/self/fd/99/script"
                    : "99 argument from /proc/self/fd/99"
                #expect(outcome.sortedLines == ["3", "3", line, line])
            }
        }

        /// A slave that may not mount gives the script without its name.
        @Test(
            .enabled(
                if: geteuid() == 0 && access("/usr/bin/setpriv", X_OK) == 0,
                "starting a slave as another user needs root and setpriv"))
        func scriptsOfAUserOnASlaveThatIsNotRoot() throws {
            let wrapper = [
                "/usr/bin/setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
            ]
            var shape = TestCluster.Shape(nodeCount: 2)
            shape.slaveWrapper[1] = wrapper
            try TestCluster.with(shape) { cluster in
                let place = cluster.openFolder("scripts")
                let script = TestFile.write(
                    "#!/bin/sh\necho $0 $(cat $0 | wc -l)\n", to: "\(place)/a name", mode: 0o755)
                let outcome = try cluster.command(
                    wrapper[0],
                    wrapper.dropFirst() + ["\(TestCluster.build)/bpsh", "0-1", script])
                #expect(outcome.status == 0, "\(outcome.errorText)")
                // cat has two words for the first of them.
                #expect(
                    outcome.sortedLines
                        == ["/proc/self/fd/99 2", "/proc/self/fd/99/a name 0"])
            }
        }
    }
}
