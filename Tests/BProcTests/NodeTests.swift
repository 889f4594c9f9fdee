import BProc
import CBProc
import CLocalProtocol
import Foundation
import Testing

@Suite struct NodeTests {
    static let table: ScriptedDaemon.Script = { connection in
        try connection.welcome(nodeCount: 3)
        while case let message = try connection.receive() {
            guard message.kind == BPROC_LOCAL_NODES_REQUEST.rawValue else { return }
            // In small pieces: a message is whatever the stream makes of it.
            try connection.send(
                BPROC_LOCAL_NODES,
                Scenario.node(0, "up", lastOctet: 1) + Scenario.node(1, "down")
                    + Scenario.node(7, "a-state-with-15", lastOctet: 9),
                pieceByteCount: 7)
        }
    }

    @Test func answersFromTheTable() async {
        await #expect(processExitsWith: .success) {
            try Scenario.run(NodeTests.table) {
                try #require(bproc_numnodes() == 3)
                try #require(bproc_currnode() == -1)
                var set = bproc_node_set_t()
                try #require(bproc_nodelist(&set) == 3)
                try #require(set.node[2].node == 7 && set.node[2].user == 5)
                let appended = withUnsafeMutablePointer(to: &set) { bproc_nodeset_append($0, $0) }
                try #require(appended == 0)
                try #require(set.size == 6 && set.alloc == 128 && set.node[5].node == 7)
                bproc_nodeset_free(&set)

                var status = [CChar](repeating: 1, count: 16)
                try #require(bproc_nodestatus(0, &status, 16) == 2)
                try #require(status.prefix(3) == [0x75, 0x70, 0])
                try #require(bproc_nodestatus(7, &status, 15) == 15)
                try #require(bproc_nodestatus(7, &status, 14) == -1 && errno == ERANGE)
                try #require(bproc_nodestatus(5, &status, 16) == -1 && errno == BE_INVALIDNODE)
                try #require(bproc_nodestatus(-1, &status, 16) == -1 && errno == ENODATA)

                var address = sockaddr()
                var size = Int32(MemoryLayout<sockaddr>.size)
                try #require(bproc_nodeaddr(7, &address, &size) == 0 && size == 16)
                try #require(address.sa_data.5 == 9)
                try #require(bproc_nodeaddr(1, &address, &size) == -1 && errno == ENODATA)
                size = 15
                try #require(bproc_nodeaddr(0, &address, &size) == -1 && errno == ERANGE)
                let nodes = try Cluster().nodes()
                try #require(nodes.map(\.state) == ["up", "down", "a-state-with-15"])
                try #require(nodes.map(\.address) == ["127.1.2.1", nil, "127.1.2.9"])
            }
        }
    }

    /// The Swift face answers what the C calls do, with errors that name the node.
    @Test func clusterAnswersFromTheTable() async {
        await #expect(processExitsWith: .success) {
            try Scenario.run({ connection in
                try connection.welcome(nodeCount: 3)
                guard try connection.receive().kind == BPROC_LOCAL_NODES_REQUEST.rawValue else {
                    return
                }
                var wide = bproc_local_node()
                wide.node = 8
                wide.address_family = UInt16(AF_INET6)
                withUnsafeMutableBytes(of: &wide.address) {
                    $0[0] = 0xfd; $0[15] = 7
                }
                try connection.send(
                    BPROC_LOCAL_NODES,
                    Scenario.node(0, "up", lastOctet: 1) + Scenario.node(1, "down") + raw(wide))
            }) {
                let cluster = Cluster()
                try #require(try cluster.nodeCount() == 3)
                try #require(try cluster.node(1).state == "down")
                try #require(try cluster.state(of: 0) == "up")
                try #require(try cluster.address(of: 0) == "127.1.2.1")
                try #require(try cluster.address(of: 8) == "fd00::7")
                try #require(try cluster.attribute("addr", of: 8).count == 28)
                try #require(try cluster.nodes(matching: "1,0,1,99").map(\.number) == [1, 0, 1])
                try #require(try cluster.nodes(matching: "master")[0].number == -1)
                try #require(try cluster.permitsUse(of: -1))
                let failures: [(Int32, () throws -> Void)] = [
                    (BE_INVALIDNODE, { _ = try cluster.node(5) }),
                    (ENODATA, { _ = try cluster.address(of: 1) }),
                    (BE_INVALIDNODE, { _ = try cluster.permitsUse(of: 5) }),
                ]
                for (number, call) in failures {
                    let error = #expect(throws: BProcError.self) { try call() }
                    try #require(error?.errorNumber == number && error?.node != nil)
                }
                let error = #expect(throws: BProcError.self) {
                    try cluster.nodes(matching: "1,")
                }
                try #require(error?.errorNumber == EINVAL)
                let sentence = try #require(error).sentence
                try #require(sentence.contains("character 3"))
            }
        }
    }

    /// Real user, real group and supplementary groups, each counted as of a file.
    @Test(.enabled(if: geteuid() == 0, "needs root, to be somebody else"))
    func accessFollowsTheBitsOfTheCaller() async {
        await #expect(processExitsWith: .success) {
            try Scenario.run({ connection in
                try connection.welcome()
                _ = try connection.receive()
                try connection.send(
                    BPROC_LOCAL_NODES,
                    Scenario.node(0, "up", mode: 0o100, user: 1234)
                        + Scenario.node(1, "up", mode: 0o011, user: 1234, group: 55)
                        + Scenario.node(2, "up", mode: 0o010, group: 55)
                        + Scenario.node(3, "up", mode: 0o010, group: 78)
                        + Scenario.node(4, "up", mode: 0o101, group: 77)
                        + Scenario.node(5, "up", mode: 0o001)
                        + Scenario.node(6, "up", mode: 0o110)
                        + Scenario.node(7, "down", mode: 0, user: 1234))
            }) {
                for node in 0..<8 as Range<Int32> { try #require(bproc_access(node, 1) == 0) }
                // The rights of files stay root's; only the real identity changes.
                try #require(setgroups(2, [77, 78]) == 0)
                try #require(setregid(55, gid_t.max) == 0 && setreuid(1234, uid_t.max) == 0)
                let allowed = (0..<8 as Range<Int32>).filter { bproc_access($0, 1) == 0 }
                try #require(allowed == [0, 2, 3, 5])
                try #require(bproc_access(1, 1) == -1 && errno == EACCES)
                try #require(bproc_access(1, 0) == 0)
                try #require(try !Cluster().permitsUse(of: 7))
            }
        }
    }

    @Test func noDaemonIsNoBProc() async {
        await #expect(processExitsWith: .success) {
            setenv("BPROC_SOCKET", "/tmp/there/is/no/such/socket", 1)
            try #require(bproc_numnodes() == 0)
            try #require(bproc_currnode() == -1)
            var version = bproc_version_t()
            try #require(bproc_version(&version) == -1 && errno == ENOSYS)
            var set = bproc_node_set_t()
            try #require(bproc_nodelist(&set) == -1 && errno == EBUSY)
            try #require(String(cString: bproc_reason()).contains("/tmp/there/is/no/such/socket"))
            setenv("BPROC_SOCKET", "/" + String(repeating: "x", count: 200), 1)
            try #require(bproc_nodelist(&set) == -1 && errno == ENAMETOOLONG)
        }
    }

    /// Bad answers to the hello and to the request, each a clear error.
    @Test func badAnswersAreErrors() async {
        await #expect(processExitsWith: .success) {
            var header = bproc_local_header()
            header.magic = BPROC_LOCAL_MAGIC
            header.version = UInt16(BPROC_LOCAL_VERSION)
            header.kind = UInt16(BPROC_LOCAL_WELCOME.rawValue)
            header.body_bytes = UInt32(MemoryLayout<bproc_local_welcome>.size)
            let good = raw(header)
            header.body_bytes = BPROC_LOCAL_BODY_MAX + 1
            let tooLong = raw(header)
            header.body_bytes = 8
            let tooShort = raw(header) + [UInt8](repeating: 0, count: 8)
            header.magic = 0x2031_3233
            let foreign = raw(header)
            header.magic = BPROC_LOCAL_MAGIC
            header.version = 9
            let newer = raw(header)
            let answers: [([UInt8], Int32)] = [
                ([], ECONNRESET), (Array(good.prefix(9)), ECONNRESET), (good, ECONNRESET),
                (tooLong, EPROTO), (tooShort, EPROTO), (foreign, EPROTO), (newer, EPROTO),
            ]
            for (answer, error) in answers {
                try Scenario.run({ connection in
                    _ = try connection.receive()
                    try connection.send(raw: answer)
                }) {
                    var set = bproc_node_set_t()
                    try #require(bproc_nodelist(&set) == -1)
                    try #require(errno == error)
                }
            }
            try Scenario.run({ connection in
                _ = try connection.receive()
                try connection.send(BPROC_LOCAL_REFUSED, Scenario.refused(EACCES, "not you"))
            }) {
                var set = bproc_node_set_t()
                try #require(bproc_nodelist(&set) == -1 && errno == EACCES)
                try #require(String(cString: bproc_reason()) == "hello refused: not you")
            }
            try Scenario.run({ connection in
                try connection.welcome()
                _ = try connection.receive()
                try connection.send(BPROC_LOCAL_NODES, Array(Scenario.node(1, "up").dropLast()))
            }) {
                var set = bproc_node_set_t()
                try #require(bproc_nodelist(&set) == -1 && errno == EPROTO)
            }
        }
    }

    @Test func errorsHaveSentences() {
        #expect(String(cString: bproc_strerror(BE_NODEDOWN)) == "Node is down")
        #expect(String(cString: bproc_strerror(-BE_INVALIDNODE)) == "Invalid node number")
        #expect(String(cString: bproc_strerror(-ENOENT)) == "No such file or directory")
        #expect(String(cString: bproc_strerror(.min)) == "Unknown error")
    }
}
