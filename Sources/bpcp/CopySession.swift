import BProc
import CommandSupport
import FileCopy
import Glibc
import System

/// One copy: from each source in turn to the target.
struct CopySession: ~Copyable {
    private enum Source {
        case here(TreeReader)
        case node(NodeSource)
    }

    private enum Target {
        case here(TreeWriter)
        case nodes(NodesTarget)
    }

    private let loop: CopyLoop
    private let target: Target
    private let isRecursive: Bool
    private var progress: CopyProgress
    private(set) var errorCount = 0
    /// Files of the sources before are counted on.
    private var fileBase: UInt32 = 0
    private var highestFile: UInt32?

    init(
        _ location: CopyLocation, settings: TreeWriter.Settings, blockByteCount: Int,
        isRecursive: Bool
    ) throws(CommandError) {
        let loop = try CopyLoop()
        let target: Target
        if location.isHere {
            target = .here(TreeWriter(target: location.path, settings: settings))
        } else {
            let nodes = try Self.nodes(
                NodesTarget.Settings(
                    path: location.path, writer: settings, blockByteCount: blockByteCount),
                of: location)
            loop.target = nodes
            target = .nodes(nodes)
        }
        self.loop = loop
        self.target = target
        self.isRecursive = isRecursive
        progress = CopyProgress(nodeCount: location.nodes.count)
    }

    private static func nodes(
        _ settings: NodesTarget.Settings, of location: CopyLocation
    ) throws(CommandError) -> NodesTarget {
        do throws(BProcError) {
            return try NodesTarget(settings, nodes: location.nodes)
        } catch {
            throw CommandError(error.description)
        }
    }

    /// - Returns: the exit status.
    mutating func run(_ sources: [CopyLocation]) -> Int32 {
        do throws(CommandError) {
            for group in Self.grouped(sources) { try copy(group) }
            if case .nodes(let nodes) = target { try nodes.finish(loop) }
            report()
        } catch {
            report()
            report(error.sentence)
            giveUp()
        }
        progress.clear()
        if let signal = loop.signal { return ExitStatus.signalBase + signal }
        return Int32(min(errorCount, 255))
    }

    /// Sources that follow each other on one machine have one reader.
    private static func grouped(_ sources: [CopyLocation]) -> [[CopyLocation]] {
        var groups: [[CopyLocation]] = []
        for source in sources {
            if let last = groups.last?.first, last.nodes == source.nodes {
                groups[groups.count - 1].append(source)
            } else {
                groups.append([source])
            }
        }
        return groups
    }

    // MARK: Records

    private mutating func copy(_ group: [CopyLocation]) throws(CommandError) {
        let paths = group.map { $0.path.isEmpty ? Array(".".utf8) : $0.path }
        let source: Source
        if let node = group[0].nodes.first {
            do throws(BProcError) {
                let sender = try NodeSource(paths, isRecursive: isRecursive, node: node)
                loop.source = sender
                source = .node(sender)
            } catch {
                report(error.description)
                return
            }
        } else {
            source = .here(TreeReader(paths, isRecursive: isRecursive))
        }
        defer { loop.source = nil }
        var sequence = CopySequence()
        highestFile = nil
        while let record = try next(of: source) {
            let node = group[0].nodes.first ?? -1
            do throws(CopyFormatError) {
                try sequence.check(record)
            } catch {
                throw CommandError("node \(node): \(error)")
            }
            if case .failure(var failure) = record {
                failure.node = node
                report(failure.description)
                continue
            }
            try take(renumbered(record))
            report()
            if record == .end { break }
            if case .nodes(let nodes) = target, nodes.isLost {
                throw CommandError("no node is left")
            }
        }
        fileBase += (highestFile.map { $0 + 1 }) ?? 0
    }

    private func next(of source: Source) throws(CommandError) -> CopyRecord? {
        switch source {
        case .here(let reader):
            try loop.look()
            return reader.next()
        case .node(let sender): return try sender.next(loop)
        }
    }

    private mutating func renumbered(_ record: CopyRecord) -> CopyRecord {
        switch record {
        case .file(let number, let name, let mode, let time, let byteCount):
            highestFile = number
            progress.begin(name.text, byteCount: byteCount)
            return .file(
                number: fileBase + number, name, mode: mode, time: time, byteCount: byteCount)
        case .fileEnd(let number, let isWhole, let checksum):
            return .fileEnd(number: fileBase + number, isWhole: isWhole, checksum: checksum)
        default: return record
        }
    }

    private mutating func take(_ record: CopyRecord) throws(CommandError) {
        if case .bytes(let bytes) = record { progress.add(bytes.count) }
        switch target {
        case .here(let writer):
            do throws(CopyFormatError) {
                try writer.take(record)
            } catch {
                throw CommandError(error.description)
            }
        case .nodes(let nodes): try nodes.take(record, loop: loop)
        }
    }

    // MARK: Reports

    private mutating func report() {
        let failures: [CopyFailure]
        switch target {
        case .here(let writer): failures = writer.takeFailures()
        case .nodes(let nodes): failures = nodes.takeFailures()
        }
        for failure in failures { report(failure.description) }
    }

    private mutating func report(_ sentence: String) {
        progress.clear()
        StandardOutput.report(sentence, command: "bpcp")
        errorCount += 1
    }

    private func giveUp() {
        switch target {
        case .here(let writer): writer.giveUp()
        case .nodes(let nodes):
            loop.beginEnd()
            nodes.giveUp()
            // A node that does not answer any more is left by a second signal.
            try? loop.wait { nodes.hasGivenUp }
        }
    }
}
