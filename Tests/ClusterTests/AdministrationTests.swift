import Glibc
import Testing

extension ClusterTests {
    /// What administrators do: with the commands, on real daemons.
    @Suite(.serialized) struct Administration {
        /// Every option of bpctl, and what bpstat shows after it.
        @Test(.enabled(if: geteuid() == 0, "only root changes nodes"))
        func bpctlChangesWhatBpstatShows() throws {
            try TestCluster.with(nodes: 4) { cluster in
                func shown(_ node: Int) throws -> [Substring] {
                    try cluster.command("bpstat", ["-l", "\(node)"]).text.split(separator: "\n")
                        .last?.split(separator: " ") ?? []
                }
                // Options, the node to look at, and the last four columns of its line.
                let table: [([String], Int, [Substring])] = [
                    (["-S", "0", "-s", "error"], 0, ["error", "---x--x--x", "root", "root"]),
                    (["--node=0", "--state=up"], 0, ["up", "---x--x--x", "root", "root"]),
                    (["-S", "1-2", "-m", "101"], 2, ["up", "---x-----x", "root", "root"]),
                    (["-S1", "-m0", "-S2", "-m", "111"], 1, ["up", "----------", "root", "root"]),
                    (["-S", "2", "-u", "daemon"], 2, ["up", "---x--x--x", "daemon", "root"]),
                    (["-S", "2", "-g", "4242"], 2, ["up", "---x--x--x", "daemon", "#4242"]),
                    (
                        ["--slave", "2", "--user", "0", "--group", "root", "--mode", "10", "-f"],
                        2, ["up", "------x---", "root", "root"]
                    ),
                    // The order is the meaning.
                    (["-S", "3", "-s", "a", "-s", "b"], 3, ["b", "---x--x--x", "root", "root"]),
                ]
                for (options, node, columns) in table {
                    let outcome = try cluster.command("bpctl", options)
                    #expect(outcome.status == 0, "\(options): \(outcome.errorText)")
                    #expect(try shown(node).suffix(4) == columns[...], "\(options)")
                }
                // Options, exit status, and a part of the message.
                let refused: [([String], Int32, String)] = [
                    ([], 64, "nothing to do"),
                    (["-s", "up"], 64, "-S"),
                    (["-S", "0"], 64, "nothing to do"),
                    (["-S", "0", "-s", "up", "-S", "1"], 64, "last nodes"),
                    (["-S", "0", "-m", "9"], 64, "mode"),
                    (["-S", "0", "-u", "no such user"], 64, "no such user"),
                    (["-S", "0", "-g", "no such group"], 64, "no such group"),
                    (["-S", "0", "--reconnect", "master"], 64, "not a master's address"),
                    (["-S", "0", "--reconnect", "10.0.0.1,::1"], 64, "address of the node"),
                    (["-S", "0,%", "-s", "up"], 1, "character"),
                    (["-S", "9,0", "-s", "up"], 1, "9: Invalid node number"),
                    (["-S", "0", "-m", "755"], 1, "0: mode 755"),
                    (["-S", "0", "-s", "sixteencharacter"], 1, "0: a state of 16"),
                    (["-S", "0", "-s", "not one"], 1, "letters and digits"),
                    (["-M", "-s", "up"], 1, "-1: the front end"),
                    (["-S", "0", "-R"], 1, "0: node 0: its slave runs without --allow-reboot"),
                    (["-S", "0", "-H"], 1, "--allow-halt"),
                    (["-S", "0", "--pwroff"], 1, "--allow-power-off"),
                    (["-S", "0", "-P"], 1, "--allow-power-off"),
                    (["-S", "0", "-r", "/tmp"], 1, "--allow-chroot"),
                    (["-S", "0", "-r", "tmp"], 1, "does not begin with /"),
                    (
                        ["-S", "0", "--reconnect", "10.0.0.1"], 1,
                        "--insecure-no-authentication"
                    ),
                ]
                for (options, status, message) in refused {
                    let outcome = try cluster.command("bpctl", options)
                    #expect(outcome.status == status, "\(options): \(outcome.errorText)")
                    #expect(outcome.errorText.contains(message), "\(outcome.errorText)")
                }
                #expect(try shown(0).suffix(4) == ["up", "---x--x--x", "root", "root"])
                try Self.disconnect(cluster)
            }
        }

        /// Setting a node to down ends what runs there, and only there.
        private static func disconnect(_ cluster: TestCluster) throws {
            let job = try cluster.startJob("0,3", "sh", "-c", "echo here; sleep 1000", lineCount: 2)
            let outcome = try cluster.command("bpctl", ["-S", "3", "-s", "down"])
            #expect(outcome.status == 0, "\(outcome.errorText)")
            let states = try cluster.command("bpstat", ["-s", "-N"]).text.split(separator: "\n")
            #expect(states == ["up", "up", "up", "down"])
            #expect(
                try cluster.command("bpctl", ["-S", "3", "-m", "111"]).errorText
                    == "bpctl: 3: node 3 is down\n")
            #expect(cluster.slaves[3]?.wait(seconds: TestCluster.patience) == 1)
            let isTold = job.serve(seconds: TestCluster.patience) {
                job.errorText.contains("node 3")
            }
            #expect(isTold, "\(job.errorText)")
            job.process.signal(SIGTERM)
            _ = job.finish(seconds: TestCluster.patience)
        }

        /// An ordinary user starts what he may; the other ranks fail alone.
        @Test(
            .enabled(
                if: geteuid() == 0 && access("/usr/bin/setpriv", X_OK) == 0,
                "needs root and setpriv"))
        func nodesThatAUserMayNotUseFailAlone() throws {
            var shape = TestCluster.Shape(nodeCount: 4)
            shape.master = ["--node-mode", "110", "--node-owner", "54321:54322"]
            try TestCluster.with(shape) { cluster in
                func run(_ user: Int, groups: String, _ words: String...) throws
                    -> Subprocess.Outcome
                {
                    try cluster.command(
                        "/usr/bin/setpriv",
                        ["--reuid=\(user)", "--regid=\(user)", "--groups=\(groups)"]
                            + ["\(TestCluster.build)/\(words[0])"] + words.dropFirst())
                }
                let owner = try run(54321, groups: "1", "bpsh", "0-3", "id", "-u")
                #expect(owner.status == 0, "\(owner.errorText)")
                let stranger = try run(54323, groups: "1", "bpsh", "0-3", "id", "-u")
                #expect(stranger.status == 255 && stranger.text.isEmpty)
                #expect(stranger.errorText.contains("user 54323 may not use the node"))
                let change = try cluster.command("bpctl", ["-S", "1-2", "-m", "111"])
                #expect(change.status == 0, "\(change.errorText)")
                let some = try run(54323, groups: "1", "bpsh", "-p", "0-3", "id", "-u")
                #expect(some.status == 255)
                #expect(some.sortedLines == ["  1: 54323", "  2: 54323"])
                // The group's bit, by a supplementary group among many.
                let many = (60000..<60040).map(String.init).joined(separator: ",")
                let member = try run(54323, groups: many + ",54322", "bpsh", "0-3", "id", "-u")
                #expect(member.status == 0, "\(member.errorText)")
                // The owner gives the node away to his group alone, and to no other.
                let own = try run(54321, groups: "54324", "bpctl", "-S", "0", "-g", "54324")
                #expect(own.status == 0, "\(own.errorText)")
                for options in [["-g", "54325"], ["-u", "54323"], ["-s", "up"], ["-R"]] {
                    let refused = try cluster.command(
                        "/usr/bin/setpriv",
                        ["--reuid=54321", "--regid=54321", "--clear-groups"]
                            + ["\(TestCluster.build)/bpctl", "-S", "0"] + options)
                    #expect(refused.status == 1, "\(options)")
                    #expect(refused.errorText.contains("0: user 54321 may not"), "\(options)")
                }
                let outcome = try run(54323, groups: "54322", "bpsh", "0-3", "id", "-u")
                #expect(outcome.status == 255 && outcome.sortedLines.count == 3)
            }
        }

        /// Programs on nodes ask their slave, which passes on who they are.
        @Test(.enabled(if: geteuid() == 0, "only root changes states"))
        func nodesAreChangedAndWatchedFromNodes() throws {
            try TestCluster.with(nodes: 3) { cluster in
                let bpctl = "\(TestCluster.build)/bpctl"
                let change = try cluster.run("0", bpctl, "-S", "1", "-s", "error", "-m", "100")
                #expect(change.status == 0, "\(change.errorText)")
                #expect(try cluster.command("bpstat", ["-s", "1"]).text == "error\n")
                let wrong = try cluster.run("0", bpctl, "-S", "1", "-s", "not one")
                #expect(wrong.status == 1 && wrong.errorText.contains("letters and digits"))
                let order = try cluster.run("0", bpctl, "-S", "1", "-R")
                #expect(order.status == 1 && order.errorText.contains("--allow-reboot"))
                let watcher = try cluster.conversation(
                    "bpsh", ["0,2", "\(TestCluster.build)/bpstat", "-U", "--json", "1"],
                    input: nil)
                func isShown(_ state: String) -> Bool {
                    watcher.serve(seconds: TestCluster.patience) {
                        watcher.text.matches(of: /"state":"(\w+)"/).count { $0.1 == state } == 2
                    }
                }
                #expect(isShown("error"))
                for state in ["first", "second", "third"] {
                    let outcome = try cluster.command("bpctl", ["-S", "1", "-s", state])
                    #expect(outcome.status == 0 && isShown(state), "\(watcher.text)")
                }
                watcher.process.signal(SIGTERM)
                _ = watcher.finish(seconds: TestCluster.patience)
            }
        }

        /// One beside the master, one on a node, at the same time: nothing of either is lost.
        @Test(.enabled(if: geteuid() == 0, "only root changes nodes"))
        func twoAdministratorsChangeTheSameNode() throws {
            try TestCluster.with(nodes: 2) { cluster in
                let states = (1...40).flatMap { ["-s", "state\($0)"] }
                let modes = (1...40).flatMap { ["-m", $0 % 2 == 0 ? "101" : "11"] }
                let bpctl = "\(TestCluster.build)/bpctl"
                let here = try cluster.conversation("bpctl", ["-S", "1"] + states)
                let there = try cluster.conversation("bpsh", ["0", bpctl, "-S", "1"] + modes)
                for administrator in [here, there] {
                    let outcome = administrator.finish(seconds: TestCluster.patience)
                    #expect(outcome.status == 0, "\(outcome.errorText)")
                }
                let shown = try cluster.command("bpstat", ["-l", "1"]).text
                    .split(separator: "\n").last?.split(separator: " ").suffix(4)
                #expect(shown == ["state40", "---x-----x", "root", "root"])
            }
        }

        @Test func bpstatShowsWhatIsAskedFor() throws {
            try TestCluster.with(nodes: 3) { cluster in
                cluster.slaves[1]?.end()
                try cluster.waitUntilUp([0, 2])
                func text(_ options: String...) throws -> String {
                    let outcome = try cluster.command("bpstat", options)
                    #expect(outcome.status == 0, "\(options): \(outcome.errorText)")
                    return outcome.text
                }
                #expect(try text("-n") == "0\n1\n2\n")
                #expect(try text("-n", "-R") == "2\n1\n0\n")
                #expect(try text("-n", "-O", "2,0,2") == "2\n0\n")
                #expect(try text("-n", "-S") == "1\n0\n2\n")
                #expect(try text("-n", "-S", "-R") == "2\n0\n1\n")
                #expect(try text("-n", "up") == "0\n2\n")
                #expect(try text("-t") == "3\n")
                #expect(try text("--total", "notdown") == "2\n")
                #expect(try text("-s") == "up\ndown\nup\n")
                let address = cluster.slaveAddress(2)
                #expect(try text("-a", "1,2") == "-\n\(address)\n")
                #expect(try text("-A", address) == "2\n")
                let compact = try text().split(separator: "\n")
                #expect(compact == (try text("-c")).split(separator: "\n") && compact.count == 3)
                #expect(compact[1].hasPrefix("1 ") && compact[2].hasPrefix("0,2 "))
                #expect(try text("-c", "-N").split(separator: "\n")[1].hasPrefix("0,2 "))
                let json = try text("--json", "2")
                #expect(json.hasPrefix("[{\"node\":2,\"state\":\"up\",\"address\":\"\(address)\""))
                for (options, status) in [
                    (["-c", "-l"], 64), (["-N", "-S"], 64), (["-A", "no.such.host"], 1),
                    (["%"], 1),
                ] {
                    let outcome = try cluster.command("bpstat", options)
                    #expect(outcome.status == Int32(status) && !outcome.errorText.isEmpty)
                }
            }
        }

        @Test func bpstatFollowsChanges() throws {
            try TestCluster.with(nodes: 2) { cluster in
                let follower = try cluster.conversation("bpstat", ["-U", "--json"], input: nil)
                func isShown(_ text: String, times: Int = 1) -> Bool {
                    follower.serve(seconds: TestCluster.patience) {
                        follower.text.split(separator: "]\n").count { $0.contains(text) } >= times
                    }
                }
                #expect(isShown("\"node\":1,\"state\":\"up\""))
                cluster.slaves[1]?.end()
                #expect(isShown("\"node\":1,\"state\":\"down\""))
                try cluster.startSlave(1)
                #expect(isShown("\"node\":1,\"state\":\"up\"", times: 2))
                cluster.master?.signal(SIGTERM)
                let outcome = follower.finish(seconds: TestCluster.patience)
                #expect(outcome.status == 1 && outcome.errorText.contains("is lost"))
            }
        }
    }
}
