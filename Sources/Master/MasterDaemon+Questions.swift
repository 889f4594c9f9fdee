import CLocalProtocol
import CSystem
import Host
import LocalProtocol
import MasterCore
import System
import Wire

// What nodes answer to the questions of programs; and what this daemon itself keeps.
extension MasterDaemon {
    /// - Returns: whether the message is such a request.
    mutating func bookRequest(
        _ message: LocalMessage, from client: Client
    ) throws(LocalProtocolError) -> Bool {
        guard message.kind == BPROC_LOCAL_BOOK_REQUEST else { return false }
        guard let raw = message.load(bproc_local_book_request.self) else {
            throw .tooSmall("request for the book-keeping")
        }
        do throws(NodeRefusal) {
            guard client.caller.user == 0 || client.caller.user == bp_effective_user() else {
                throw NodeRefusal(
                    FailureCode.notPermitted,
                    "user \(client.caller.user) may not see what the daemons keep")
            }
            guard raw.node != Int32(BPROC_LOCAL_ANY_NODE) else {
                try askGhosts(for: client, request: message.request)
                return true
            }
            let question = try host.store.state.askForBook(
                of: raw.node, patienceNanoseconds: Self.bookPatienceNanoseconds,
                now: Clock.monotonicNanoseconds, effects: &host.effects)
            askers[question] = Asker(
                place: .program(client.id), request: message.request, wantsBook: true)
        } catch {
            send(refusal(error, request: message.request, of: client.caller), to: client)
        }
        return true
    }

    private static let bookPatienceNanoseconds: UInt64 = 5_000_000_000

    // MARK: Answers

    mutating func pass(_ answer: NodeAnswer, of node: Int32, toAskerOf question: UInt32) {
        guard let asker = askers[question] else { return }
        switch answer {
        case .processes(let statuses):
            sendStatuses(
                bproc_local_statuses(
                    node: node, error: 0, count: UInt32(statuses.count), is_last: 0),
                statuses, to: asker)
        case .book(let text):
            tell(
                LocalMessage.bytes(
                    BPROC_LOCAL_BOOK, request: asker.request, body: Array(text.utf8)),
                to: asker.place)
            askers[question] = nil
        case .silent(let errorNumber) where asker.wantsBook:
            tell(
                LocalMessage.refusal(
                    request: asker.request, errorNumber: errorNumber,
                    reason: "node \(node) does not answer"),
                to: asker.place)
            askers[question] = nil
        case .silent(let errorNumber):
            sendStatuses(
                bproc_local_statuses(node: node, error: errorNumber, count: 0, is_last: 0), [],
                to: asker)
        }
    }

    mutating func endQuestion(_ question: UInt32) {
        guard let asker = askers.removeValue(forKey: question) else { return }
        sendStatuses(
            bproc_local_statuses(node: -3, error: 0, count: 0, is_last: 1), [], to: asker)
    }

    private mutating func sendStatuses(
        _ head: bproc_local_statuses, _ statuses: [ProcessStatus], to asker: Asker
    ) {
        var body = LocalMessage.bytes(of: head)
        body.reserveCapacity(
            body.count + statuses.count * MemoryLayout<bproc_local_status>.stride)
        for status in statuses { body += status.encoded }
        tell(
            LocalMessage.bytes(BPROC_LOCAL_STATUS, request: asker.request, body: body),
            to: asker.place)
    }

    mutating func forgetQuestions(of client: Client) {
        for (question, asker) in askers where asker.place == .program(client.id) {
            askers[question] = nil
            host.store.state.dropQuestion(question)
        }
    }
}
