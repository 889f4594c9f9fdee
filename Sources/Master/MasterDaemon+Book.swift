import CLocalProtocol
import Host
import LocalProtocol
import MasterCore
import System
import Wire

// What this daemon keeps, and what the servers of ghosts do: they hold the channels of jobs, on the
// front end and on nodes, and are asked through them.
extension MasterDaemon {
    /// A line for each thing that is kept: its name, and how many there are.
    private var bookLines: [String] {
        let own: [(name: String, count: Int)] = [
            ("jobs with streams", streams.count),
            ("jobs of programs on nodes", clientOfPlace.count),
            ("images", host.store.entries.count),
            ("askers", askers.count),
            ("orders of programs", orderers.count),
            ("questions to ghost servers", ghostBooks.questionCount),
        ]
        return (host.store.state.book + own + host.book).map { "\($0.name): \($0.count)" }
    }

    /// The answer is complete when every server has said what it keeps, or has had its time.
    mutating func askGhosts(for client: Client, request: UInt32) throws(NodeRefusal) {
        let now = Clock.monotonicNanoseconds
        var servers: [GhostBooks.Server] = []
        for server in host.programs.all where server.servesGhosts {
            guard let launch = server.launch else { continue }
            servers.append(GhostBooks.Server(client: server.id, job: launch))
        }
        guard
            let question = ghostBooks.ask(servers, for: client.id, request: request, now: now)
        else {
            throw NodeRefusal(FailureCode.busy, "too many ask what the daemons keep")
        }
        for id in question.asked {
            guard let server = host.programs[id] else { continue }
            send(
                LocalMessage.bytes(
                    BPROC_LOCAL_GHOSTS_BOOK_REQUEST, request: question.number), to: server)
        }
        tellOfBooks(now: now)
    }

    /// - Returns: whether the message is a server's.
    mutating func hearGhosts(
        _ message: LocalMessage, from client: Client
    ) throws(LocalProtocolError) -> Bool {
        switch message.kind {
        case BPROC_LOCAL_GHOSTS_SERVED:
            guard client.launch != nil else { throw .invalid("ghosts without a job") }
            client.servesGhosts = true
        case BPROC_LOCAL_GHOSTS_BOOK:
            guard let raw = message.load(bproc_local_ghosts_book.self) else {
                throw .tooSmall("what a server of ghosts keeps")
            }
            ghostBooks.receive(
                [
                    ("ghosts", UInt64(raw.living_count)),
                    ("running ranks", UInt64(raw.running_count)),
                    ("ended ranks with output to come", UInt64(raw.output_count)),
                    ("ghosts about to stop", UInt64(raw.called_count)),
                    ("processes that come to their ghosts", UInt64(raw.arriving_count)),
                    ("bytes of output", raw.output_bytes),
                    ("bytes not sent", raw.unsent_bytes),
                ], from: client.id, question: message.request)
            tellOfBooks(now: Clock.monotonicNanoseconds)
        default: return false
        }
        return true
    }

    mutating func tellOfBooks(now: UInt64) {
        let reports = ghostBooks.takeReports(now: now)
        guard !reports.isEmpty else { return }
        for report in reports {
            guard let client = host.programs[report.asker] else { continue }
            let text = (bookLines + report.lines).joined(separator: "\n") + "\n"
            send(
                LocalMessage.bytes(
                    BPROC_LOCAL_BOOK, request: report.request, body: Array(text.utf8)),
                to: client)
        }
    }
}
