import Glibc
import Testing

extension ClusterTests {
    /// Peers on the daemons' TCP ports that are not ours, or of another version or machine.
    ///
    /// The frames are put together here by hand, from FORMAT.md: a mistake that encoder and decoder
    /// share would not help them.
    @Suite(.serialized) struct HostilePeers {
        enum Port: CaseIterable, CustomStringConvertible {
            case master, slave
            var description: String { self == .master ? "master" : "slave" }
        }

        static func header(
            magic: UInt16 = 0x5042, version: UInt8 = 1, kind: UInt8 = 1, bodyByteCount: UInt32
        ) -> [UInt8] {
            bytes(magic) + [version, kind] + bytes(bodyByteCount)
                + [UInt8](repeating: 0, count: 24)
        }

        static func bytes<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
            withUnsafeBytes(of: value.littleEndian) { Array($0) }
        }

        /// The hello of a slave (role 1) or a relay (role 2).
        static func hello(
            version: UInt8 = 1, role: UInt8 = 1, architecture: UInt32 = 4, node: Int32 = -3,
            keptCount: UInt32 = 0
        ) -> [UInt8] {
            var body: [UInt8] = [role, 0, 0, 0]
            body += bytes(architecture) + bytes(node) + [UInt8](repeating: 0, count: 20)
            body += bytes(UInt64(1)) + bytes(UInt64(0))
            // No place with any master: its number, a cookie, frames received.
            body += [UInt8](repeating: 0, count: 24)
            body += bytes(keptCount)
            body += bytes(UInt32(5)) + Array("9.9.9".utf8)
            return header(version: version, bodyByteCount: UInt32(body.count)) + body
        }

        /// What a port answers until it closes.
        static func answer(
            of cluster: TestCluster, _ port: Port, to bytes: [UInt8]
        ) throws -> String {
            let address = port == .master ? cluster.masterAddress : cluster.slaveAddress(0)
            let link = try #require(RawLink(address, cluster.port), "nobody listens")
            link.send(bytes)
            let answer = try #require(link.readToEnd(), "the \(port) keeps the connection")
            return String(decoding: answer, as: UTF8.self)
        }

        @Test(arguments: Port.allCases) func nonsense(port: Port) throws {
            try TestCluster.with(nodes: 2) { cluster in
                let cases: [(String, [UInt8])] = [
                    ("magic 0x", Self.header(magic: 0x4547, bodyByteCount: 0)),
                    ("4294967295 bytes", Self.header(bodyByteCount: .max)),
                    ("4097 bytes", Self.header(bodyByteCount: 4097)),
                    ("unknown frame kind 200", Self.header(kind: 200, bodyByteCount: 0)),
                    // Known, but nobody has introduced himself yet.
                    ("", Self.header(kind: 16, bodyByteCount: 64)),
                    ("", Self.header(kind: 17, bodyByteCount: 1 << 20)),
                    ("", Self.header(bodyByteCount: 3) + [1, 0, 0]),
                    ("", Self.hello(role: 77)),
                    ("", Array("GET / HTTP/1.1\r\nHost: cluster\r\n\r\n".utf8)),
                    ("", [UInt8](repeating: 0xff, count: 100_000)),
                ]
                for (index, (sentence, bytes)) in cases.enumerated() {
                    let answer = try Self.answer(of: cluster, port, to: bytes)
                    #expect(
                        sentence.isEmpty || answer.contains(sentence), "case \(index): \(answer)")
                }
                #expect(cluster.upNodes() == [0, 1])
                let outcome = try cluster.run("0-1", "echo", "well")
                #expect(outcome.text == "well\nwell\n", "\(outcome.errorText)")
            }
        }

        /// Frames that only a peer that said hello can send, with contents that fit nothing.
        @Test(arguments: Port.allCases) func nonsenseAfterHello(port: Port) throws {
            try TestCluster.with(nodes: 2) { cluster in
                let hello = Self.hello(role: port == .master ? 1 : 2, node: -1)
                for kind: UInt8 in [
                    7, 8, 9, 16, 17, 18, 19, 24, 25, 26, 28, 40, 41, 42, 48, 49, 50, 51, 65,
                ] {
                    for size: UInt32 in [0, 1, 8] {
                        let address =
                            port == .master ? cluster.masterAddress : cluster.slaveAddress(0)
                        let link = try #require(RawLink(address, cluster.port), "nobody listens")
                        link.send(hello)
                        link.send(
                            Self.header(kind: kind, bodyByteCount: size)
                                + [UInt8](repeating: 0xff, count: Int(size)))
                    }
                }
                let outcome = try cluster.run("0-1", "echo", "well")
                #expect(outcome.text == "well\nwell\n", "\(outcome.errorText)")
                #expect(cluster.upNodes() == [0, 1])
            }
        }

        /// Connections that say half of something and stay: nobody else waits for them.
        @Test(arguments: Port.allCases) func halfAFrame(port: Port) throws {
            try TestCluster.with(nodes: 2) { cluster in
                let address = port == .master ? cluster.masterAddress : cluster.slaveAddress(0)
                let links = try (0..<50).map { count in
                    let link = try #require(RawLink(address, cluster.port), "nobody listens")
                    link.send(Array(Self.hello().prefix(count)))
                    return link
                }
                let outcome = try cluster.run("0-1", "echo", "well")
                #expect(outcome.text == "well\nwell\n", "\(outcome.errorText)")
                withExtendedLifetime(links) {}
            }
        }

        @Test(arguments: Port.allCases) func anotherVersionIsRefusedByName(port: Port) throws {
            try TestCluster.with(nodes: 1) { cluster in
                let hello = Self.hello(version: 2, role: port == .master ? 1 : 2)
                let answer = try Self.answer(of: cluster, port, to: hello)
                #expect(
                    answer.contains("the peer speaks protocol version 2, this side speaks 1"),
                    "\(answer)")
                #expect(try cluster.run("0", "true").status == 0)
            }
        }

        @Test(arguments: Port.allCases) func anotherMachineIsRefusedByName(port: Port) throws {
            try TestCluster.with(nodes: 1) { cluster in
                let hello = Self.hello(role: port == .master ? 1 : 2, architecture: 5)
                let answer = try Self.answer(of: cluster, port, to: hello)
                #expect(answer.contains("runs on x86-64, the peer"), "\(answer)")
                #expect(answer.contains("bproc 9.9.9) runs on PowerPC64"), "\(answer)")
                #expect(try cluster.run("0", "true").status == 0)
            }
        }

        /// Ranks of a launch that a slave says it brings along, by rank and process number.
        private static func kept(
            _ launch: UInt64, _ ranks: [(UInt32, Int32)], count: UInt32? = nil,
            groupCount: UInt32 = 0
        ) -> [UInt8] {
            var body = bytes(UInt32(54321)) + bytes(UInt32(1)) + bytes(groupCount)
            body += bytes(count ?? UInt32(ranks.count))
            for (rank, process) in ranks { body += bytes(rank) + bytes(process) }
            var frame = header(kind: 8, bodyByteCount: UInt32(body.count))
            frame.replaceSubrange(8..<16, with: bytes(launch))
            // Flag final.
            frame[22] = 4
            return frame + body
        }

        /// A slave that lies about what it brings from another master is not let in.
        @Test func processesThatCannotBeAreRefused() throws {
            try TestCluster.with(
                TestCluster.Shape(nodeCount: 1, master: ["--nodes", "3", "--ping-timeout", "2"])
            ) { cluster in
                let whole = Self.kept(5, [(0, 500)])
                let cases: [(String, UInt32, [UInt8])] = [
                    ("a slave brings 16384 processes at most", .max, whole),
                    ("a slave brings 16384 processes at most", 16385, whole),
                    ("rank 0 of launch 5 is told twice", 2, Self.kept(5, [(0, 500), (0, 501)])),
                    ("process 500 is told twice", 2, Self.kept(5, [(0, 500), (1, 500)])),
                    ("kept process", 1, Self.kept(5, [(0, -1)])),
                    ("kept process", 1, Self.kept(5, [(0, 0)])),
                    ("kept rank count", 1, Self.kept(5, [(0, 500)], count: .max)),
                    ("kept rank count", 1, Self.kept(5, [(0, 500)], count: 4096)),
                    ("kept group count", 1, Self.kept(5, [(0, 500)], groupCount: .max)),
                    ("8388608 bytes", 1, Self.header(kind: 8, bodyByteCount: 8 << 20)),
                    // It says nothing for longer than a slave may.
                    ("it has not told what it brings along", 1, []),
                ]
                for (sentence, count, frame) in cases {
                    let hello = Self.hello(node: 1, keptCount: count)
                    let answer = try Self.answer(of: cluster, .master, to: hello + frame)
                    #expect(answer.contains(sentence), "\(sentence): \(answer)")
                }
                #expect(try cluster.processNumbers().isEmpty)
                #expect(cluster.upNodes() == [0])
                // What is true is believed, of a node and its user, as long as the node is there.
                let link = try #require(RawLink(cluster.masterAddress, cluster.port))
                link.send(Self.hello(node: 1, keptCount: 1) + Self.kept(5, [(0, 1 << 23)]))
                try cluster.waitUntilUp([0, 1])
                #expect(try cluster.processNumbers() == ["\(1 << 23)"])
                // It never answers a ping.
                try cluster.waitUntilUp([0])
                #expect(try cluster.processNumbers().isEmpty)
                withExtendedLifetime(link) {}
            }
        }

        @Test func aNodeNumberThatIsTakenOrUnknownIsRefused() throws {
            try TestCluster.with(nodes: 1) { cluster in
                let taken = try Self.answer(of: cluster, .master, to: Self.hello(node: 0))
                #expect(taken.contains("node 0 is connected already"), "\(taken)")
                let unknown = try Self.answer(of: cluster, .master, to: Self.hello(node: 7))
                #expect(unknown.contains("node 7 is not configured"), "\(unknown)")
                let full = try Self.answer(of: cluster, .master, to: Self.hello())
                #expect(full.contains("nodes are connected"), "\(full)")
                #expect(cluster.upNodes() == [0])
            }
        }
    }
}
