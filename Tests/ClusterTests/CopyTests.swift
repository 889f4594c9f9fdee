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

        /// Several blocks go to sixteen nodes; three of them have no such directory.
        @Test(.enabled(if: isRoot, "roots of nodes need root")) func threeOfSixteenFail() throws {
            try Self.withRoots(16) { cluster, folder in
                for node in [2, 7, 11] { rmdir("\(folder)/\(node)/in") }
                let content = Self.bytes(20_000_000)
                let source = TestFile.write(content, to: "\(cluster.folder)/tmp/big", mode: 0o644)
                let outcome = try cluster.command("bpcp", [source, "0-15:/in/big"])
                #expect(outcome.status == 3, "\(outcome.errorText)")
                for node in 0..<16 {
                    let isMissing = [2, 7, 11].contains(node)
                    #expect(outcome.errorText.contains("node \(node):") == isMissing)
                    let copy = TestFile.read("\(folder)/\(node)/in/big")
                    #expect(copy == (isMissing ? nil : content), "node \(node)")
                    let names = TestFile.names(in: "\(folder)/\(node)/in")
                    #expect(names == (isMissing ? [] : ["big"]), "node \(node)")
                }
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
                        "bpcp", ["--helper=receive", "--", "hostile-", "\(folder)/target"],
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
