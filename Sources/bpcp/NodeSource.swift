import BProc
import CommandSupport
import FileCopy
import Glibc

/// A node that files are read on: a sender there, whose records are not believed until they have
/// been checked.
final class NodeSource {
    let node: Int32
    private let sender: RankChannel
    private var reader = CopyRecordReader()
    private var hasEnded = false
    private var failure: String?
    /// More than this is not asked for before it is used.
    private static let waitingLimit = 4 << 20
    private var waitingByteCount = 0

    init(_ paths: [[UInt8]], isRecursive: Bool, node: Int32) throws(BProcError) {
        self.node = node
        sender = try RankChannel.start(
            .send(isRecursive: isRecursive, paths: paths), on: [node])
    }

    var wantsBytes: Bool { !sender.hasEnded && waitingByteCount < Self.waitingLimit }
    var polled: Poll.Entry { Poll.Entry(sender.descriptor, sender.pollEvents) }

    /// The next record; nil: the sender has sent its last.
    /// - Throws: the sender is gone, or what it says is no copy.
    func next(_ loop: CopyLoop) throws(CommandError) -> CopyRecord? {
        guard !hasEnded else { return nil }
        while true {
            do throws(CopyFormatError) {
                if let record = try reader.next() {
                    if case .bytes(let bytes) = record { waitingByteCount -= bytes.count }
                    if record == .end { hasEnded = true }
                    return record
                }
                waitingByteCount = 0
            } catch {
                throw CommandError("node \(node): \(error)")
            }
            if let failure { throw CommandError("node \(node): \(failure)") }
            if sender.hasEnded { throw CommandError("node \(node): its sender ended early") }
            var hasCome = false
            let before = sentCount
            try loop.wait {
                hasCome = self.sentCount != before || self.sender.hasEnded || self.failure != nil
                return hasCome
            }
        }
    }

    private var sentCount = 0

    /// Takes what has come.
    func serve() {
        do throws(BProcError) {
            while waitingByteCount < Self.waitingLimit, let event = try sender.next() {
                take(event)
            }
        } catch {
            failure = failure ?? error.description
        }
    }

    private func take(_ event: JobEvent) {
        switch event {
        case .output(let rank, _, let stream, let bytes):
            sender.consumed(bytes.count, from: stream, of: rank)
            guard stream == .standardOutput else {
                let text = String(decoding: bytes.filter { $0 >= 0x20 }, as: UTF8.self)
                if !text.isEmpty { failure = failure ?? text }
                return
            }
            reader.add(bytes)
            sentCount += bytes.count
            waitingByteCount += bytes.count
        case .failure(_, let error): failure = failure ?? error.sentence
        case .exit(let exit) where exit.nodeDied: failure = failure ?? "the node died"
        case .end(let error?): failure = failure ?? error.sentence
        default: break
        }
    }
}
