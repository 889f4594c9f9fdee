import Glibc
import Testing

extension ClusterTests {
    /// Files go to nodes, come from them, and go between them. All nodes are this machine, so each
    /// has a directory of its own as its root where they must be told apart.
    @Suite(.serialized) struct Copies {
        private static let isRoot = geteuid() == 0

        private static func bytes(_ count: Int) -> [UInt8] {
            var generator = SystemRandomNumberGenerator()
            var bytes: [UInt8] = []
            bytes.reserveCapacity(count + 8)
            while bytes.count < count {
                let word = generator.next()
                for shift in stride(from: 0, to: 64, by: 8) {
                    bytes.append(UInt8(truncatingIfNeeded: word >> UInt64(shift)))
                }
            }
            return Array(bytes.prefix(count))
        }

        /// A cluster whose nodes have roots of their own, in a folder.
        private static func withRoots(
            _ count: Int, _ body: (TestCluster, String) throws -> Void
        ) throws {
            let folder = TestFolder.make("copies")
            defer { TestFile.removeFolder(folder) }
            var shape = TestCluster.Shape(nodeCount: count)
            for node in 0..<count {
                mkdir("\(folder)/\(node)", 0o755)
                mkdir("\(folder)/\(node)/in", 0o755)
                shape.slave[node] = ["--root", "\(folder)/\(node)"]
            }
            try TestCluster.with(shape) { try body($0, folder) }
        }

        @Test func oneNodeAndBack() throws {
            try TestCluster.with(nodes: 2) { cluster in
                let folder = cluster.folder + "/tmp"
                let source = TestFile.write(Self.bytes(3_000_001), to: "\(folder)/a", mode: 0o644)
                for words in [
                    [source, "0:\(folder)/b"], ["1:\(folder)/b", "\(folder)/c"],
                    ["0:\(folder)/c", "1:\(folder)/d"], [source, "\(folder)/e"],
                ] {
                    let outcome = try cluster.command("bpcp", words)
                    #expect(outcome.status == 0, "\(words): \(outcome.errorText)")
                }
                for name in ["b", "c", "d", "e"] {
                    #expect(TestFile.read("\(folder)/\(name)") == TestFile.read(source))
                }
                #expect(TestFile.names(in: folder).count == 5, "temporary files are left")
            }
        }

        @Test func treesKeepWhatTheyAre() throws {
            try TestCluster.with(nodes: 2) { cluster in
                let folder = cluster.folder + "/tmp"
                mkdir("\(folder)/tree", 0o755)
                mkdir("\(folder)/tree/inner", 0o751)
                let file = TestFile.write("text", to: "\(folder)/tree/inner/file", mode: 0o640)
                TestFile.write("", to: "\(folder)/tree/empty", mode: 0o600)
                let moment = timespec(tv_sec: 1_000_000, tv_nsec: 5)
                #expect(utimensat(AT_FDCWD, file, [moment, moment], 0) == 0)
                let refused = try cluster.command("bpcp", ["\(folder)/tree", "0:\(folder)/x"])
                #expect(refused.status == 1 && refused.errorText.contains("Is a directory"))
                let outcome = try cluster.command(
                    "bpcp", ["-rp", "\(folder)/tree", "0:\(folder)/copy"])
                #expect(outcome.status == 0, "\(outcome.errorText)")
                #expect(TestFile.text("\(folder)/copy/inner/file") == "text")
                #expect(TestFile.read("\(folder)/copy/empty") == [])
                var status = stat()
                #expect(stat("\(folder)/copy/inner/file", &status) == 0)
                #expect(status.st_mode & 0o7777 == 0o640 && status.st_mtim.tv_sec == 1_000_000)
                #expect(stat("\(folder)/copy/inner", &status) == 0)
                #expect(status.st_mode & 0o7777 == 0o751)
            }
        }

        /// Several blocks go to 64 nodes, three of which cannot take them: those are named, and the
        /// rest is done.
        @Test(.enabled(if: isRoot, "roots of nodes need root")) func threeOfSixtyFourFail() throws {
            try Self.withRoots(64) { cluster, folder in
                func target(_ node: Int) -> String { "\(folder)/\(node)/in" }
                rmdir(target(7))
                rmdir(target(60))
                TestFile.write("no directory", to: target(60))
                let mounted = mount("none", target(31), "tmpfs", UInt(MS_RDONLY), nil) == 0
                try #require(mounted, "root may not mount here")
                defer { umount(target(31)) }
                let failing = [
                    7: "No such file or directory", 31: "Read-only file system",
                    60: "Not a directory",
                ]
                let content = Self.bytes(5_000_000)
                let source = TestFile.write(content, to: "\(cluster.folder)/tmp/big", mode: 0o644)
                let outcome = try cluster.command("bpcp", [source, "0-63:/in/big"])
                #expect(outcome.status == 3, "\(outcome.errorText)")
                let lines = outcome.errorText.split(separator: "\n")
                #expect(lines.count == 3)
                for node in 0..<64 {
                    let line = lines.first { $0.contains("node \(node):") }
                    guard let reason = failing[node] else {
                        #expect(line == nil)
                        #expect(TestFile.read("\(target(node))/big") == content, "node \(node)")
                        #expect(TestFile.names(in: target(node)) == ["big"], "node \(node)")
                        continue
                    }
                    #expect(line?.contains(reason) == true, "\(outcome.errorText)")
                    #expect(TestFile.names(in: target(node)) == [], "node \(node)")
                }
            }
        }

        /// A copy of many small blocks that stands still after its first, while something happens.
        private static func interrupting(
            _ cluster: TestCluster, _ words: [String], file: String, _ body: () -> Void
        ) throws -> Subprocess.Outcome {
            let copy = try cluster.conversation("bpcp", ["--block", "65536"] + words, input: nil)
            try cluster.expect("the first temporary file") {
                copy.serve(seconds: 1) {
                    TestFile.names(in: file).contains { $0.hasPrefix(".bpcp-") }
                }
            }
            copy.process.signal(SIGSTOP)
            body()
            copy.process.signal(SIGCONT)
            return copy.finish(seconds: TestCluster.patience)
        }

        @Test(.enabled(if: isRoot, "roots of nodes need root"))
        func aNodeThatDiesMeanwhileIsNamed() throws {
            try Self.withRoots(4) { cluster, folder in
                let content = Self.bytes(8_000_000)
                let source = TestFile.write(content, to: "\(cluster.folder)/tmp/big", mode: 0o644)
                let outcome = try Self.interrupting(
                    cluster, [source, "0-3:/in/big"], file: "\(folder)/2/in"
                ) {
                    cluster.slaves[2]?.signal(SIGKILL)
                    _ = cluster.slaves[2]?.wait(seconds: TestCluster.patience)
                }
                #expect(outcome.status == 1, "\(outcome.errorText)")
                #expect(outcome.errorText.contains("node 2:"), "\(outcome.errorText)")
                for node in [0, 1, 3] {
                    #expect(TestFile.read("\(folder)/\(node)/in/big") == content)
                    #expect(TestFile.names(in: "\(folder)/\(node)/in") == ["big"])
                }
                #expect(TestFile.read("\(folder)/2/in/big") == nil)
            }
        }

        @Test func aSourceThatVanishesMeanwhileIsNamed() throws {
            try TestCluster.with(nodes: 2) { cluster in
                let folder = cluster.folder + "/tmp"
                mkdir("\(folder)/target", 0o755)
                let content = Self.bytes(8_000_000)
                let source = TestFile.write(content, to: "\(folder)/big", mode: 0o644)
                let second = TestFile.write("text", to: "\(folder)/second")
                let third = TestFile.write("text", to: "\(folder)/third")
                let outcome = try Self.interrupting(
                    cluster, [source, second, third, "0:\(folder)/target"],
                    file: "\(folder)/target"
                ) { unlink(second) }
                #expect(outcome.status == 1, "\(outcome.errorText)")
                #expect(outcome.errorText.contains("\(second): No such file or directory"))
                #expect(TestFile.read("\(folder)/target/big") == content)
                #expect(TestFile.names(in: "\(folder)/target").sorted() == ["big", "third"])
            }
        }

        /// Nodes that share the target directory: one makes the file, the others say why they
        /// do not; and two copies to one name leave one of them, whole.
        @Test func aSharedTargetHasOneWholeFile() throws {
            try TestCluster.with(nodes: 3) { cluster in
                let folder = cluster.folder + "/tmp"
                mkdir("\(folder)/target", 0o755)
                let contents = [Self.bytes(1_000_000), Self.bytes(1_500_000)]
                let sources = contents.enumerated().map {
                    TestFile.write($1, to: "\(folder)/source\($0)", mode: 0o644)
                }
                let shared = try cluster.command("bpcp", [sources[0], "0-2:\(folder)/target/a"])
                #expect(shared.status == 2, "\(shared.errorText)")
                #expect(shared.errorText.ranges(of: "File exists").count == 2)
                #expect(TestFile.read("\(folder)/target/a") == contents[0])
                let copies = try sources.map {
                    try cluster.conversation(
                        "bpcp", ["--block", "65536", $0, "0:\(folder)/target/a"])
                }
                for copy in copies {
                    let outcome = copy.finish(seconds: TestCluster.patience)
                    #expect(outcome.status == 0, "\(outcome.errorText)")
                }
                #expect(contents.contains(TestFile.read("\(folder)/target/a") ?? []))
                #expect(TestFile.names(in: "\(folder)/target") == ["a"])
            }
        }

        @Test func whatIsMissingIsNamed() throws {
            try TestCluster.with(nodes: 2) { cluster in
                let folder = cluster.folder + "/tmp"
                let source = TestFile.write("text", to: "\(folder)/a")
                let vanished = try cluster.command(
                    "bpcp", ["\(folder)/none", source, "0:\(cluster.folder)/daemons/"])
                #expect(vanished.status == 1, "\(vanished.errorText)")
                #expect(vanished.errorText.contains("\(folder)/none: No such file"))
                let device = try cluster.command("bpcp", [source, "0-1:/dev/null"])
                #expect(device.status == 2, "\(device.errorText)")
                let stranger = try cluster.command("bpcp", [source, "7:\(folder)/b"])
                #expect(stranger.status == 1 && stranger.errorText.contains("no node 7"))
            }
        }

        /// The receiver on a node believes nobody: a name that leads out of the target ends it, and
        /// what was begun is gone.
        @Test func namesThatLeadOutOfTheTargetAreRefused() throws {
            try TestCluster.with(nodes: 1) { cluster in
                let folder = cluster.folder + "/tmp"
                mkdir("\(folder)/target", 0o755)
                for name in ["..", ".", "a/b", "../../x"] {
                    let body = [UInt8](repeating: 0, count: 28) + Array(name.utf8)
                    let record: [UInt8] =
                        [3, 0xb9, 0xc0, 1, UInt8(body.count), 0, 0, 0] + body
                    let outcome = try cluster.command(
                        "bpcp-node", ["--helper=receive", "--", "hostile-", "\(folder)/target"],
                        input: record)
                    #expect(outcome.status == 1, "\(name): \(outcome.errorText)")
                    #expect(outcome.errorText.contains("is no name of a file"))
                }
                #expect(TestFile.names(in: "\(folder)/target") == [])
                #expect(TestFile.names(in: folder) == ["target"])
            }
        }

        @Test(.enabled(if: isRoot, "a small file system needs root")) func fullTarget() throws {
            try TestCluster.with(nodes: 1) { cluster in
                let folder = cluster.folder + "/tmp"
                mkdir("\(folder)/small", 0o755)
                let mounted = mount("none", "\(folder)/small", "tmpfs", 0, "size=1m") == 0
                try #require(mounted, "root may not mount here")
                defer { umount("\(folder)/small") }
                let source = TestFile.write(Self.bytes(3_000_000), to: "\(folder)/a", mode: 0o644)
                let outcome = try cluster.command("bpcp", [source, "0:\(folder)/small/"])
                #expect(outcome.status == 1, "\(outcome.errorText)")
                #expect(outcome.errorText.contains("No space left on device"))
                #expect(TestFile.names(in: "\(folder)/small") == [])
            }
        }
    }
}
