import BProc
import CommandSupport
import FileCopy
import Glibc
import System

/// Many nodes as the target of a copy. A receiver on each makes directories and temporary files,
/// and gives the files their names; the bytes come in blocks, each a launch down the relay tree.
final class NodesTarget {
    struct Settings {
        var path: [UInt8]
        var writer: TreeWriter.Settings
        var blockByteCount: Int
    }

    /// Where a rank of the receivers stands.
    private struct Receiver {
        var reader = CopyRecordReader()
        var barrier: UInt32 = 0
        var hasEnded = false
        /// Its copy is over: it is gone, or has done all.
        var isLost = false
    }

    private struct BlockJob {
        let channel: RankChannel
        /// Ranks of the receivers, by rank of the block.
        let ranks: [Int]
        let files: Set<UInt32>
        /// What the receivers are told once it is written.
        var after = FileEnds()
        var isDone = false
    }

    /// Ends of files, to be sent when all of their bytes are on the nodes.
    private struct FileEnds {
        var bytes: [UInt8] = []
        var files: [UInt32] = []

        static func += (ends: inout FileEnds, more: FileEnds) {
            ends.bytes += more.bytes
            ends.files += more.files
        }
    }

    /// So many blocks are under way at once.
    private static let blockLimit = 2

    private let settings: Settings
    private let receivers: RankChannel
    private var states: [Receiver]
    private var unsent: ArraySlice<UInt8> = []
    private var barrier: UInt32 = 0
    private var block = BlockProgram()
    private var after = FileEnds()
    /// Files whose ends were sent since the last barrier.
    private var endedFiles: [UInt32] = []
    private var blocks: [BlockJob] = []
    /// Names of the directories around what comes next.
    private var directories: [[UInt8]] = []
    private var file: (number: UInt32, offset: UInt64, place: BlockProgram.Place)?
    /// By file, why its bytes did not come to a rank.
    private var problems: [UInt32: [Int: String]] = [:]
    /// By file, the ranks that have given it up.
    private var given: [UInt32: Set<Int>] = [:]
    private var failures: [CopyFailure] = []
    private(set) var sentByteCount: UInt64 = 0

    init(_ settings: Settings, nodes: [Int32]) throws(BProcError) {
        self.settings = settings
        receivers = try RankChannel.start(
            .receive(target: settings.path, settings.writer), on: nodes)
        states = Array(repeating: Receiver(), count: nodes.count)
    }

    var nodeCount: Int { receivers.nodes.count }
    var isLost: Bool { states.allSatisfy(\.isLost) }

    func takeFailures() -> [CopyFailure] {
        defer { failures = [] }
        return failures
    }

    // MARK: Records

    /// Takes one record of a sequence that has been checked; waits where too much is under way.
    func take(_ record: CopyRecord, loop: CopyLoop) throws(CommandError) {
        switch record {
        case .directory(let name, _, _):
            directories.append(name.bytes)
            send(record.encoded)
        case .directoryEnd:
            directories.removeLast()
            send(record.encoded)
        case .file(let number, _, _, _, _):
            file = (number, 0, place(of: number))
            given[number] = []
            send(record.encoded)
        case .bytes(let bytes):
            guard let open = file else { return }
            block.add(bytes, file: open.number, at: open.offset, place: open.place)
            file!.offset += UInt64(bytes.count)
            if block.byteCount >= settings.blockByteCount || block.isFull { try flush(loop) }
        case .fileEnd(let number, _, _):
            file = nil
            after += FileEnds(bytes: record.encoded, files: [number])
            if block.isEmpty { releaseEnds() }
        case .failure, .barrier, .end, .giveUp: break
        }
    }

    /// Everything is on the nodes, or has failed.
    func finish(_ loop: CopyLoop) throws(CommandError) {
        try flush(loop)
        try loop.wait { self.blocks.isEmpty }
        send(CopyRecord.end.encoded)
        try loop.wait { self.states.allSatisfy { $0.hasEnded || $0.isLost } }
    }

    /// Nothing half-done is left on the nodes.
    func giveUp() {
        unsent = []
        send(CopyRecord.giveUp.encoded)
    }

    var hasGivenUp: Bool { states.allSatisfy { $0.hasEnded || $0.isLost } }

    /// What the temporary file of the current directory is called.
    private func place(of number: UInt32) -> BlockProgram.Place {
        let slash = UInt8(ascii: "/")
        func joined(_ parts: [[UInt8]]) -> [UInt8] { Array(parts.joined(separator: [slash])) }
        let name = Array("\(settings.writer.temporaryPrefix)\(number)".utf8)
        let target = settings.path.isEmpty ? [UInt8(ascii: ".")] : settings.path
        let inTarget = joined([target] + directories + [name])
        if directories.isEmpty {
            guard let last = target.lastIndex(of: slash) else {
                return BlockProgram.Place(path: inTarget, otherPath: name)
            }
            return BlockProgram.Place(
                path: inTarget, otherPath: Array(target[...last]) + name)
        }
        return BlockProgram.Place(
            path: inTarget, otherPath: joined([target] + directories.dropFirst() + [name]))
    }

    private func send(_ bytes: [UInt8]) { unsent += bytes }

    // MARK: Blocks

    private func flush(_ loop: CopyLoop) throws(CommandError) {
        guard !block.isEmpty else { return }
        barrier += 1
        send(CopyRecord.barrier(barrier).encoded)
        let wanted = barrier
        let forgotten = endedFiles
        endedFiles = []
        try loop.wait {
            self.blocks.count < Self.blockLimit
                && self.states.allSatisfy { $0.isLost || $0.barrier >= wanted }
        }
        // What the receivers had to say of these has come.
        for file in forgotten {
            problems[file] = nil
            given[file] = nil
        }
        let files = block.files
        let ranks = states.indices.filter { rank in
            !states[rank].isLost && files.contains { !(given[$0]?.contains(rank) ?? true) }
        }
        do throws(CommandError) {
            if !ranks.isEmpty { try launch(on: ranks, files: files) }
        } catch {
            for file in files {
                for rank in ranks { problems[file, default: [:]][rank] = error.sentence }
            }
        }
        sentByteCount += UInt64(block.byteCount)
        block = BlockProgram()
        releaseEnds()
    }

    /// Files end after the last block that is under way: it may hold bytes of theirs.
    private func releaseEnds() {
        if let last = blocks.indices.last {
            blocks[last].after += after
        } else {
            send(after)
        }
        after = FileEnds()
    }

    private func send(_ ends: FileEnds) {
        send(ends.bytes)
        endedFiles += ends.files
    }

    private func launch(on ranks: [Int], files: Set<UInt32>) throws(CommandError) {
        let program: OwnedDescriptor
        do throws(SystemCallError) {
            program = try block.makeFile()
        } catch {
            throw CommandError(error.description)
        }
        do throws(BProcError) {
            let cluster = Cluster()
            let image = try cluster.capture(
                "/proc/\(getpid())/fd/\(program.number)", arguments: [Array("bpcp".utf8)],
                environment: [])
            var options = LaunchOptions()
            options.io = []
            let job = try cluster.launch(
                image, command: "bpcp", on: ranks.map { receivers.nodes[$0] }, options: options)
            blocks.append(
                BlockJob(channel: RankChannel(job), ranks: ranks, files: files))
        } catch {
            throw CommandError(error.description)
        }
    }

    // MARK: Events

    /// Descriptors to poll, and for what.
    var polled: [Poll.Entry] {
        let input = !unsent.isEmpty && receivers.inputRoom > 0
        var entries = [
            Poll.Entry(
                receivers.hasEnded ? -1 : receivers.descriptor,
                receivers.pollEvents | (input ? Poll.writable : 0))
        ]
        for block in blocks where !block.isDone {
            entries.append(Poll.Entry(block.channel.descriptor, block.channel.pollEvents))
        }
        return entries
    }

    /// Takes what has come, and sends what can go.
    func serve() throws(CommandError) {
        do throws(BProcError) {
            while let event = try receivers.next() { take(event) }
            for index in blocks.indices where !blocks[index].isDone {
                while let event = try blocks[index].channel.next() {
                    take(event, of: blocks[index])
                }
                blocks[index].isDone = blocks[index].channel.hasEnded
            }
            // In their order: a file ends after all of its blocks.
            while let first = blocks.first, first.isDone {
                send(first.after)
                blocks.removeFirst()
            }
            while !unsent.isEmpty, receivers.inputRoom > 0 {
                let count = try receivers.write(unsent)
                guard count > 0 else { break }
                unsent = unsent.dropFirst(count)
            }
        } catch {
            lose(error.description)
        }
        if receivers.hasEnded { unsent = [] }
    }

    private func lose(_ sentence: String) {
        for rank in states.indices { lose(rank, sentence) }
    }

    private func lose(_ rank: Int, _ sentence: String) {
        guard !states[rank].isLost, !states[rank].hasEnded else { return }
        states[rank].isLost = true
        failures.append(
            CopyFailure(node: receivers.nodes[rank], errorNumber: EIO, sentence: sentence))
    }

    private func take(_ event: JobEvent) {
        switch event {
        case .started, .progress, .inputCredit: break
        case .failure(let rank, let error):
            lose(
                rank,
                error.stage == .none ? error.sentence : "\(error.stage): \(error.sentence)")
        case .exit(let exit):
            if exit.nodeDied {
                lose(exit.rank, "the node died")
            } else if exit.status.rawValue != 0 {
                lose(exit.rank, "its receiver ended with status \(exit.status.shellStatus)")
            }
        case .output(let rank, _, let stream, let bytes):
            receivers.consumed(bytes.count, from: stream, of: rank)
            if stream == .standardError {
                lose(rank, String(decoding: bytes.filter { $0 >= 0x20 }, as: UTF8.self))
            } else {
                take(bytes, from: rank)
            }
        case .end(let error):
            lose(error?.description ?? "its receiver ended early")
        }
    }

    private func take(_ bytes: [UInt8], from rank: Int) {
        states[rank].reader.add(bytes)
        do throws(CopyFormatError) {
            while let record = try states[rank].reader.next() {
                switch record {
                case .barrier(let number): states[rank].barrier = number
                case .end: states[rank].hasEnded = true
                case .failure(let failure): note(failure, rank)
                default: throw .noRecord
                }
            }
        } catch {
            lose(rank, error.description)
        }
    }

    /// What a receiver says of a file; why its bytes did not come says more than what is wrong
    /// with them.
    private func note(_ failure: CopyFailure, _ rank: Int) {
        var failure = failure
        failure.node = receivers.nodes[rank]
        if let file = failure.file {
            given[file]?.insert(rank)
            if let problem = problems[file]?[rank] {
                let path = failure.sentence.prefix { $0 != ":" }
                failure.sentence = "\(path): \(problem)"
            }
        }
        failures.append(failure)
    }

    private func take(_ event: JobEvent, of block: BlockJob) {
        switch event {
        case .failure(let rank, let error): note(error.description, block, rank)
        case .exit(let exit):
            if exit.nodeDied {
                note("the node died", block, exit.rank)
            } else if exit.status.rawValue != 0 {
                let sentence =
                    exit.status.exitCode.map { SystemCallError.message(for: $0) }
                    ?? "its writer was killed by signal \(exit.status.signal ?? 0)"
                note(sentence, block, exit.rank)
            }
        case .end(let error?):
            for rank in block.ranks.indices { note(error.description, block, rank) }
        default: break
        }
    }

    private func note(_ sentence: String, _ block: BlockJob, _ rank: Int) {
        for file in block.files where problems[file]?[block.ranks[rank]] == nil {
            problems[file, default: [:]][block.ranks[rank]] = sentence
        }
    }
}
