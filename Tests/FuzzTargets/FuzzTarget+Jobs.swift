import CLocalProtocol
import GhostCore
import Ghosts
import LocalProtocol

/// What a daemon sends to the server of a job's ghosts.
extension FuzzTarget {
    static let jobTargets: [FuzzTarget] = [
        FuzzTarget(
            "job-inbox",
            seeds: {
                let ended = bproc_local_exit(
                    rank: 1, process: 77, status: 256, cause: 0, user_microseconds: 7,
                    system_microseconds: 8, max_resident_kilobytes: 9)
                let said = bproc_local_stream(rank: 0, stream: 1)
                let exits = LocalMessage.bytes(of: ended) + LocalMessage.bytes(of: ended)
                let stop = LocalMessage.bytes(
                    of: bproc_local_stop(rank: 2, signal: 19, sequence: 0))
                let text = LocalMessage.bytes(of: said) + Array("text".utf8)
                return [
                    LocalMessage.bytes(BPROC_LOCAL_EXIT, body: exits),
                    LocalMessage.bytes(BPROC_LOCAL_OUTPUT, body: text)
                        + LocalMessage.bytes(
                            BPROC_LOCAL_OUTPUT, body: LocalMessage.bytes(of: said)),
                    LocalMessage.bytes(BPROC_LOCAL_PROGRESS, body: text)
                        + LocalMessage.bytes(BPROC_LOCAL_EXIT, body: exits),
                    LocalMessage.bytes(BPROC_LOCAL_STOP, body: stop)
                        + LocalMessage.bytes(BPROC_LOCAL_EXIT, body: exits),
                    LocalMessage.bytes(BPROC_LOCAL_GHOSTS_BOOK_REQUEST, request: 7)
                        + LocalMessage.bytes(BPROC_LOCAL_EXIT, body: exits),
                ]
            },
            run: { bytes in readJob(bytes) })
    ]

    /// The server of ghosts reads what a daemon sends to a job, in whatever pieces it comes, and
    /// tells its ghosts.
    private static func readJob(_ bytes: [UInt8]) -> String? {
        var inbox = JobInbox()
        var group = GhostGroup(count: 4)
        var effects: [GhostGroup.Effect] = []
        group.adopt(
            started: [true, true, true, false], isForwarding: true, endsWithCaller: false,
            effects: &effects)
        for start in stride(from: 0, to: bytes.count, by: 37) {
            inbox.append(bytes[start..<min(bytes.count, start + 37)])
            do {
                while let news = try inbox.next() {
                    switch news {
                    case .ended(let rank, let status, let isNodeDeath):
                        group.rankEnded(
                            rank, status: status, isNodeDeath: isNodeDeath, now: 0,
                            effects: &effects)
                    case .stopped(let rank, let signal, let sequence):
                        group.rankStopped(
                            rank, signal: signal, sequence: sequence, effects: &effects)
                    case .arrives(let arrival):
                        if group.rankArrives(arrival.rank) {
                            group.ghostHasCome(
                                arrival.rank, hasAll: arrival.launch % 2 == 0, effects: &effects)
                        }
                    case .outputEnded(let rank, let stream):
                        group.outputEnded(rank, stream: stream, effects: &effects)
                    case .output(_, _, let range):
                        guard range.upperBound <= inbox.bytes.count else {
                            return "output that has not come"
                        }
                    case .bookRequested:
                        guard group.book.livingGhostCount <= 4 else { return "a wrong book" }
                    }
                }
            } catch {
                return "\(error)".isEmpty ? "an error without a sentence" : nil
            }
        }
        let ends = effects.count {
            if case .end = $0 { true } else { false }
        }
        return ends > 3 ? "more ends than ghosts" : nil
    }
}
