import CSystem
import Glibc
import System

/// What `bpcp-node` does on a node: one end of a copy, over its standard streams.
public enum CopyRole {
    /// Reads paths.
    case send(isRecursive: Bool, paths: [[UInt8]])
    /// Writes below a target.
    case receive(target: [UInt8], TreeWriter.Settings)

    public static let programName = "bpcp-node"
    private static let success: Int32 = 0
    private static let failure: Int32 = 1
    private static let sendName = Array("--helper=send".utf8)
    private static let receiveName = Array("--helper=receive".utf8)

    /// What this program was told to do; nil: nothing.
    public init?() {
        var words: [[UInt8]] = []
        while let word = unsafe bp_program_argument(Int32(words.count) + 1) {
            words.append(unsafe Array(UnsafeRawBufferPointer(start: word, count: strlen(word))))
        }
        self.init(words)
    }

    /// The arguments behind the program's name, as `arguments` makes them.
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

    /// All words of its command, the program's name included.
    public var arguments: [[UInt8]] {
        let name = Array(Self.programName.utf8)
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

    /// - Returns: the exit status.
    public func run() -> Int32 {
        switch self {
        case .send(let isRecursive, let paths):
            let reader = TreeReader(paths, isRecursive: isRecursive)
            while let record = reader.next() {
                guard Self.write(record) else { return Self.failure }
            }
            return Self.success
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
                        guard write(.failure(failure)) else { return Self.failure }
                    }
                    switch record {
                    case .barrier, .end:
                        guard write(record) else { return Self.failure }
                        if record == .end { return Self.success }
                    case .giveUp: return Self.failure
                    default: break
                    }
                }
            } catch {
                writeAll(Array("bpcp: \(error)\n".utf8), to: STDERR_FILENO)
                break
            }
        }
        writer.giveUp()
        return Self.failure
    }

    private static func write(_ record: CopyRecord) -> Bool {
        writeAll(record.encoded, to: STDOUT_FILENO)
    }

    @discardableResult
    private static func writeAll(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
        var done = 0
        while done < bytes.count {
            let count = unsafe bytes.withUnsafeBytes { bytes in
                unsafe Glibc.write(
                    descriptor, bytes.baseAddress! + done, bytes.count - done)
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
