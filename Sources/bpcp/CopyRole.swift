import CommandSupport
import FileCopy
import Glibc
import System

/// What this program does on a node: one end of a copy, over its standard streams.
enum CopyRole {
    /// Reads paths.
    case send(isRecursive: Bool, paths: [[UInt8]])
    /// Writes below a target.
    case receive(target: [UInt8], TreeWriter.Settings)

    private static let sendName = Array("--helper=send".utf8)
    private static let receiveName = Array("--helper=receive".utf8)

    /// The arguments behind the program's name, as `arguments` makes them; nil: an ordinary start.
    init?(_ words: [[UInt8]]) {
        guard words.count >= 3 else { return nil }
        let flags = words[1]
        switch words[0] {
        case Self.sendName:
            self = .send(
                isRecursive: flags.contains(UInt8(ascii: "r")), paths: Array(words[2...]))
        case Self.receiveName where words.count == 4:
            var settings = TreeWriter.Settings(
                temporaryPrefix: String(decoding: words[2], as: UTF8.self))
            settings.preserves = flags.contains(UInt8(ascii: "p"))
            settings.needsDirectory = flags.contains(UInt8(ascii: "d"))
            settings.bytesComeOtherwise = true
            self = .receive(target: words[3], settings)
        default: return nil
        }
    }

    var arguments: [[UInt8]] {
        let name = Array("bpcp".utf8)
        switch self {
        case .send(let isRecursive, let paths):
            return [name, Self.sendName, Array((isRecursive ? "r" : "-").utf8)] + paths
        case .receive(let target, let settings):
            let flags = (settings.preserves ? "p" : "-") + (settings.needsDirectory ? "d" : "-")
            return [
                name, Self.receiveName, Array(flags.utf8),
                Array(settings.temporaryPrefix.utf8), target,
            ]
        }
    }

    func run() -> Int32 {
        switch self {
        case .send(let isRecursive, let paths):
            let reader = TreeReader(paths, isRecursive: isRecursive)
            while let record = reader.next() {
                guard Self.write(record) else { return ExitStatus.failure }
            }
            return ExitStatus.success
        case .receive(let target, let settings):
            return Self.receive(TreeWriter(target: target, settings: settings))
        }
    }

    /// Until the end, or until whoever sends has gone: then nothing half-done is left.
    private static func receive(_ writer: TreeWriter) -> Int32 {
        var reader = CopyRecordReader()
        var piece = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = unsafe piece.withUnsafeMutableBytes { piece in
                unsafe read(STDIN_FILENO, piece.baseAddress, piece.count)
            }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { break }
            reader.add(Array(piece[..<count]))
            do throws(CopyFormatError) {
                while let record = try reader.next() {
                    try writer.take(record)
                    for failure in writer.takeFailures() {
                        guard write(.failure(failure)) else { return ExitStatus.failure }
                    }
                    switch record {
                    case .barrier, .end:
                        guard write(record) else { return ExitStatus.failure }
                        if record == .end { return ExitStatus.success }
                    case .giveUp: return ExitStatus.failure
                    default: break
                    }
                }
            } catch {
                StandardOutput.report(error.description, command: "bpcp")
                break
            }
        }
        writer.giveUp()
        return ExitStatus.failure
    }

    private static func write(_ record: CopyRecord) -> Bool {
        let bytes = record.encoded
        var done = 0
        while done < bytes.count {
            let count = unsafe bytes.withUnsafeBytes { bytes in
                unsafe Glibc.write(
                    STDOUT_FILENO, bytes.baseAddress! + done, bytes.count - done)
            }
            if count < 0 {
                if errno == EINTR { continue }
                return false
            }
            done += count
        }
        return true
    }
}
