import BProc
import CommandSupport
import Foundation
import System
import Testing

@Suite struct LineAssemblerTests {
    typealias Stream = LineAssembler.Stream
    static let first = Stream(rank: 0, descriptor: 1)
    static let second = Stream(rank: 1, descriptor: 1)

    private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    @Test func linesOfTwoStreamsDoNotMix() {
        var lines = LineAssembler()
        #expect(lines.add(Array("ab".utf8), to: Self.first) == [])
        #expect(text(lines.add(Array("x\ny".utf8), to: Self.second)) == "x\n")
        #expect(text(lines.add(Array("c\nd\ne".utf8), to: Self.first)) == "abc\nd\n")
        #expect(lines.openStreams == [Self.first, Self.second])
        #expect(text(lines.end(Self.first)) == "e")
        #expect(lines.end(Self.first) == [])
    }

    @Test func everyLineHasThePrefixAndTheLastItsNewline() {
        var lines = LineAssembler()
        let prefix = Array("  3: ".utf8)
        #expect(
            text(lines.add(Array("a\n\nb".utf8), to: Self.first, prefix: prefix))
                == "  3: a\n  3: \n")
        #expect(text(lines.end(Self.first, prefix: prefix)) == "  3: b\n")
    }

    /// Cut anywhere, the lines are the same, however long they are.
    @Test(arguments: [1, 2, 3, 7, 4096, 100_000])
    func piecesMakeNoDifference(pieceByteCount: Int) {
        let line = Array(String(repeating: "long ", count: 20_000).utf8)
        let input = line + [0x0a] + Array("short\n".utf8) + line + [0x0a, 0x0a]
        var lines = LineAssembler()
        var output: [UInt8] = []
        var rest = input[...]
        while !rest.isEmpty {
            output += lines.add(Array(rest.prefix(pieceByteCount)), to: Self.first)
            rest = rest.dropFirst(pieceByteCount)
        }
        #expect(output == input)
    }

    @Test func anEndlessLineIsBounded() {
        var lines = LineAssembler()
        let piece = [UInt8](repeating: 65, count: 1 << 20)
        var output: [UInt8] = []
        for _ in 0..<17 { output += lines.add(piece, to: Self.first) }
        #expect(output.count == LineAssembler.lineByteLimit + 1)
    }
}

@Suite struct OutputSinkTests {
    /// A pipe that is full takes nothing, and nothing is lost.
    @Test func nothingIsLostAndNothingWaits() throws {
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        defer { close(ends[0]) }
        var sink = OutputSink(descriptor: ends[1])
        let input = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        for start in stride(from: 0, to: input.count, by: 7000) {
            sink.append(Array(input[start..<min(start + 7000, input.count)]))
        }
        #expect(sink.pendingByteCount == input.count)
        var output: [UInt8] = []
        while !sink.isEmpty {
            var entries = [Poll.Entry(ends[1], Poll.writable)]
            try Poll.wait(&entries, timeoutMilliseconds: 0)
            if entries[0].ready != 0 {
                try sink.writePiece()
            } else {
                var bytes = [UInt8](repeating: 0, count: 65536)
                let count = read(ends[0], &bytes, bytes.count)
                output += bytes.prefix(count)
            }
        }
        close(ends[1])
        output += FileHandle(fileDescriptor: ends[0], closeOnDealloc: false).readDataToEndOfFile()
        #expect(output == input)
    }

    @Test func aClosedReaderIsAnError() throws {
        var ends: [Int32] = [0, 0]
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
        close(ends[0])
        defer { close(ends[1]) }
        signal(SIGPIPE, SIG_IGN)
        var sink = OutputSink(descriptor: ends[1])
        sink.append([1])
        #expect(throws: SystemCallError("write", errorNumber: EPIPE)) { try sink.writePiece() }
    }
}

@Suite struct TableTests {
    static func node(_ number: Int32, _ state: String, user: UInt32 = 0) -> Cluster.Node {
        Cluster.Node(
            number: number, state: state, mode: 0o111, user: user, group: 0, address: "10.0.0.1")
    }

    @Test func alikeNodesShareALine() {
        let nodes =
            [3, 0, 1, 2, 7].map { Self.node($0, "up") } + [Self.node(5, "down", user: 4_000_000)]
        let lines = NodeTable().compact(NodeOrder.state.sorted(nodes), columns: 80)
            .split(separator: "\n")
        #expect(lines.count == 3)
        #expect(lines[0].hasPrefix("Node(s) "))
        #expect(lines[1].hasPrefix("5 ") && lines[1].contains("#4000000"))
        #expect(lines[2].hasPrefix("0-3,7 ") && lines[2].contains(" ---x--x--x root"))
        #expect(lines.allSatisfy { $0.count <= 80 })
    }

    @Test func longLinesAreAligned() {
        let text = NodeTable().long([Self.node(12, "up"), Self.node(3, "boot")])
        #expect(
            text == """
                Node Address         Status       Mode          User       Group
                  12 10.0.0.1        up           ---x--x--x    root       root
                   3 10.0.0.1        boot         ---x--x--x    root       root

                """)
    }

    @Test func nodesAreSorted() {
        let nodes = [(4, "up"), (1, "up"), (2, "down"), (0, "error")].map {
            Self.node($0.0, $0.1)
        }
        func numbers(_ order: NodeOrder, _ isReversed: Bool = false) -> [Int32] {
            order.sorted(nodes, isReversed: isReversed).map(\.number)
        }
        #expect(numbers(.number) == [0, 1, 2, 4])
        #expect(numbers(.state) == [2, 0, 1, 4])
        #expect(numbers(.asked) == [4, 1, 2, 0])
        #expect(numbers(.number, true) == [4, 2, 1, 0])
        #expect(numbers(.asked, true) == [0, 2, 1, 4])
    }

    @Test func jsonIsJSON() throws {
        var odd = Self.node(7, "up", user: 4_000_000)
        odd.address = nil
        odd.state = "a\"\\\u{1}ü"
        for nodes in [[], [Self.node(0, "up")], [Self.node(0, "up"), odd]] {
            let text = NodeTable().json(nodes)
            let parsed = try #require(
                JSONSerialization.jsonObject(with: Data(text.utf8)) as? [[String: Any]])
            #expect(parsed.count == nodes.count)
            for (object, node) in zip(parsed, nodes) {
                #expect(object["node"] as? Int == Int(node.number))
                #expect(object["state"] as? String == node.state)
                #expect(object["address"] as? String == node.address)
                #expect(object["mode"] as? String == "111")
                #expect(object["uid"] as? Int == Int(node.user))
            }
        }
    }
}

@Suite struct NameTests {
    @Test func accountsHaveNamesAndNumbers() {
        let names = AccountNames()
        #expect(names.user(0) == "root" && names.userNumber("root") == 0)
        #expect(names.userNumber("4000000") == 4_000_000)
        #expect(names.userNumber("no such user") == nil)
        #expect(names.userNumber("-1") == nil && names.userNumber("4294967295") == nil)
        #expect(names.groupNumber("root") == 0 && names.groupNumber("") == nil)
    }

    @Test func hostsHaveAddresses() {
        let hosts = HostFile(text: "10.0.0.1 node0 n0 # front\n# 10.0.0.9 node0\n\t\n::1\tn0\n")
        #expect(hosts.addresses(of: "n0") == ["n0", "10.0.0.1", "::1"])
        #expect(hosts.addresses(of: "front") == ["front"])
        #expect(hosts.addresses(of: "10.0.0.1") == ["10.0.0.1"])
    }
}

@Suite struct LocalClusterSupportTests {
    @Test func everyNodeHasItsOwnAddress() {
        var seen: Set<String> = [LocalAddress.master]
        for node in 0..<70_000 {
            let address = LocalAddress.node(node)
            #expect(seen.insert(address).inserted)
            let parts = address.split(separator: ".").compactMap { Int($0) }
            #expect(parts.count == 4 && parts[0] == 127)
            #expect(parts.dropFirst().allSatisfy { (1...254).contains($0) })
        }
        #expect(LocalAddress.node(0) == "127.1.1.1")
        #expect(LocalAddress.node(LocalAddress.nodeCountLimit - 1) == "127.250.254.254")
    }

    @Test func aProcessIsItsPidAndItsStart() throws {
        let own = try #require(ProcessIdentity(pid: getpid()))
        #expect(own.isRunning)
        #expect(!ProcessIdentity(pid: own.pid, startTicks: own.startTicks + 1).isRunning)
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/sleep")
        process.arguments = ["100"]
        try process.run()
        let child = try #require(ProcessIdentity(pid: process.processIdentifier))
        #expect(child.isRunning)
        #expect(ProcessIdentity.descendants(of: [getpid()]).contains(child))
        // A test's thread may have other signals blocked, and the child then as well.
        kill(child.pid, SIGKILL)
        process.waitUntilExit()
        #expect(!child.isRunning)
    }

    @Test func histogramCountsEverything() {
        var histogram = Histogram()
        #expect(histogram.rendering() == "" && histogram.quantile(0.5) == nil)
        for value in 1...100 { histogram.add(UInt64(value) * 1_000_000) }
        #expect(histogram.quantile(0.5) == 51_000_000)
        let rows = histogram.rendering(rowCount: 4).split(separator: "\n")
        #expect(rows.count == 4)
        let counts = rows.compactMap { row in row.split(separator: " ").compactMap { Int($0) }.first
        }
        #expect(counts.reduce(0, +) == 100)
    }

    @Test func secondsAreRounded() {
        #expect(Stopwatch.seconds(1_234_567_890, digits: 2) == "1.23")
        #expect(Stopwatch.seconds(1_999_999_999, digits: 2) == "2.00")
        #expect(Stopwatch.seconds(7_000, digits: 6) == "0.000007")
        #expect(Stopwatch.seconds(2_500_000_000, digits: 0) == "3")
    }
}

@Suite struct OutputTurnsTests {
    typealias Item = OutputTurns.Item

    static func bytes(_ rank: Int, _ text: String) -> Item {
        .bytes(Array(text.utf8), LineAssembler.Stream(rank: rank, descriptor: 1))
    }

    @Test func aRankWaitsForItsTurn() {
        var turns = OutputTurns(rankCount: 3)
        #expect(turns.add(Self.bytes(2, "c"), of: 2) == [])
        #expect(turns.add(Self.bytes(0, "a"), of: 0) == [Self.bytes(0, "a")])
        #expect(turns.add(Self.bytes(1, "b"), of: 1) == [])
        #expect(turns.end(1, wasStarted: true) == [])
        #expect(
            turns.end(0, wasStarted: true)
                == [.over(rank: 0), Self.bytes(1, "b"), .over(rank: 1), Self.bytes(2, "c")])
        #expect(turns.add(Self.bytes(2, "d"), of: 2) == [Self.bytes(2, "d")])
        #expect(turns.end(2, wasStarted: true) == [.over(rank: 2)])
        #expect(turns.finish() == [])
    }

    @Test func aRankThatWasNotStartedIsPassedOver() {
        var turns = OutputTurns(rankCount: 3)
        #expect(turns.add(Self.bytes(1, "b"), of: 1) == [])
        #expect(turns.end(0, wasStarted: false) == [Self.bytes(1, "b")])
        #expect(turns.end(0, wasStarted: true) == [])
        #expect(turns.add(Self.bytes(2, "c"), of: 2) == [])
        // The job was lost: what has come is shown.
        #expect(turns.finish() == [Self.bytes(2, "c")])
    }
}
