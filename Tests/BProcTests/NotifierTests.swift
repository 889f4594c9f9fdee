import BProc
import CBProc
import CLocalProtocol
import Foundation
import Testing

@Suite struct NotifierTests {
    static func entry(_ node: Int32, _ state: String) -> [UInt8] {
        var listed = bproc_local_listed()
        listed.node = node
        fill(&listed.state, state)
        return raw(listed)
    }

    static func heading(_ byteCount: Int, request: UInt32 = 0) -> [UInt8] {
        raw(bproc_local_watched(byte_count: UInt32(byteCount), request: request))
    }

    /// Lets a program watch; `answer` is what its first question gets, before the end.
    static func script(answer: [UInt8]) -> ScriptedDaemon.Script {
        { connection in
            try connection.welcome(nodeCount: 2)
            guard try connection.receive().kind == BPROC_LOCAL_NODES_WATCH.rawValue else { return }
            // A change follows the answer at once, in one piece with it.
            var header = bproc_local_header()
            header.magic = BPROC_LOCAL_MAGIC
            header.version = UInt16(BPROC_LOCAL_VERSION)
            header.kind = UInt16(BPROC_LOCAL_NODE_DONE.rawValue)
            try connection.send(raw: raw(header) + heading(48) + entry(0, "old"))
            guard try connection.receive().kind == BPROC_LOCAL_NODES_REQUEST.rawValue else {
                return
            }
            try connection.send(raw: answer, pieceByteCount: 11)
        }
    }

    @Test func newsThatFollowsTheAnswerIsNotLost() async {
        await #expect(processExitsWith: .success) {
            // The first question of a process has the number 1.
            let answer =
                NotifierTests.heading(48) + NotifierTests.entry(0, "older")
                + NotifierTests.heading(96, request: 1) + NotifierTests.entry(0, "new")
                + NotifierTests.entry(1, "0123456789012345")
            try Scenario.run(NotifierTests.script(answer: answer)) {
                let notifier = try NodeNotifier()
                var entry = pollfd(fd: notifier.descriptor, events: Int16(POLLIN), revents: 0)
                try #require(poll(&entry, 1, 60_000) == 1)
                let nodes = try notifier.nodes()
                // A state without its NUL is cut.
                try #require(nodes.map(\.state) == ["new", "012345678901234"])
                var set = bproc_node_set_t()
                try #require(bproc_nodelist_(&set, notifier.descriptor) == -1)
                try #require(errno == ECONNRESET && set.node == nil)
            }
        }
    }

    /// What is no table is an error, and nothing is allocated for it.
    @Test func damagedTablesAreRefused() async {
        await #expect(processExitsWith: .success) {
            let answers: [([UInt8], Int32)] = [
                (NotifierTests.heading(47, request: 1), EPROTO),
                (NotifierTests.heading(48 << 22, request: 1), EPROTO),
                (NotifierTests.heading(96, request: 1) + NotifierTests.entry(0, "up"), ECONNRESET),
                ([1, 2, 3], ECONNRESET),
                ([], ECONNRESET),
            ]
            for (answer, number) in answers {
                try Scenario.run(NotifierTests.script(answer: answer)) {
                    let notifier = bproc_notifier()
                    try #require(notifier >= 0)
                    var set = bproc_node_set_t()
                    let result = bproc_nodelist_(&set, notifier)
                    let found = errno
                    try #require(result == -1 && found == number && set.node == nil)
                    close(notifier)
                }
            }
        }
    }

    @Test func aDaemonThatDoesNotLetWatchIsAnError() async {
        await #expect(processExitsWith: .success) {
            try Scenario.run({ connection in
                try connection.welcome(nodeCount: 2)
                _ = try connection.receive()
                var refused = bproc_local_refused()
                refused.error = EBUSY
                try connection.send(BPROC_LOCAL_REFUSED, raw(refused))
            }) {
                try #require(bproc_notifier() == -1 && errno == EPROTO)
            }
        }
    }
}
