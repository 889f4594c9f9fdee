import Glibc
import System

/// Reads a file, or a directory with everything in it, as records. Symbolic links are followed, as
/// by rcp.
public final class TreeReader {
    private struct Level {
        let path: [UInt8]
        var names: ArraySlice<[UInt8]>
        let device: UInt64
        let number: UInt64
    }

    private final class OpenFile {
        let number: UInt32
        let path: [UInt8]
        let descriptor: OwnedDescriptor
        let byteCount: UInt64
        var offset: UInt64 = 0
        var checksum = CopyChecksum()

        init(
            number: UInt32, path: [UInt8], descriptor: consuming OwnedDescriptor,
            byteCount: UInt64
        ) {
            self.number = number
            self.path = path
            self.descriptor = descriptor
            self.byteCount = byteCount
        }
    }

    private let isRecursive: Bool
    private var sources: ArraySlice<[UInt8]>
    private var levels: [Level] = []
    private var file: OpenFile?
    private var fileCount: UInt32 = 0
    private var queue: [CopyRecord] = []

    /// - Parameter sources: paths, read one after the other.
    public init(_ sources: [[UInt8]], isRecursive: Bool) {
        self.sources = sources[...]
        self.isRecursive = isRecursive
    }

    /// The next record; `.end` comes once, and then nil. What cannot be read is a failure among
    /// the records, and the rest follows.
    public func next() -> CopyRecord? {
        while true {
            if !queue.isEmpty { return queue.removeFirst() }
            do throws(SystemCallError) {
                if let file { return try readPiece(of: file) }
                if let record = try step() { return record }
            } catch {
                queue.append(contentsOf: failure(error))
                continue
            }
            if levels.isEmpty && sources.isEmpty { return isAtEnd() }
        }
    }

    private var hasEnded = false

    private func isAtEnd() -> CopyRecord? {
        defer { hasEnded = true }
        return hasEnded ? nil : .end
    }

    /// What stands in the way of the file that is being read gives it up.
    private func failure(_ error: SystemCallError) -> [CopyRecord] {
        let failed = file
        file = nil
        let failure = CopyRecord.failure(
            CopyFailure(errorNumber: error.errorNumber, sentence: error.description))
        guard let failed else { return [failure] }
        return [failure, .fileEnd(number: failed.number, isWhole: false, checksum: 0)]
    }

    // MARK: Walking

    private func step() throws(SystemCallError) -> CopyRecord? {
        if var level = levels.popLast() {
            guard let name = level.names.popFirst() else { return .directoryEnd }
            levels.append(level)
            return try enter(level.path + [UInt8(ascii: "/")] + name, name: name)
        }
        guard let path = sources.popFirst() else { return nil }
        return try enter(path, name: Self.lastComponent(of: path))
    }

    private func enter(_ path: [UInt8], name: [UInt8]) throws(SystemCallError) -> CopyRecord {
        let text = String(decoding: path, as: UTF8.self)
        let entry = try Self.entryName(name, of: path, what: text)
        // Not blocking: a pipe without a writer must not hold the copy up.
        let descriptor = try FileCall.open(path, flags: O_RDONLY | O_NONBLOCK, what: text)
        let status = try FileCall.status(of: descriptor.number, what: text)
        if status.isDirectory {
            guard isRecursive else { throw SystemCallError(text, errorNumber: EISDIR) }
            let loops = levels.contains {
                $0.device == status.device && $0.number == status.number
            }
            guard !loops else { throw SystemCallError(text, errorNumber: ELOOP) }
            guard levels.count < CopyRecord.depthLimit else {
                throw SystemCallError(text, errorNumber: ENAMETOOLONG)
            }
            let names = try Self.names(in: path, what: text)
            levels.append(
                Level(
                    path: path, names: names[...], device: status.device, number: status.number))
            return .directory(entry, mode: status.mode, time: status.time)
        }
        guard status.isRegular else {
            throw SystemCallError("\(text): no regular file", errorNumber: EINVAL)
        }
        let number = fileCount
        fileCount += 1
        file = OpenFile(
            number: number, path: path, descriptor: descriptor, byteCount: status.byteCount)
        return .file(
            number: number, entry, mode: status.mode, time: status.time,
            byteCount: status.byteCount)
    }

    /// What the copy is called. "." and ".." have the name of the directory that they are.
    private static func entryName(
        _ name: [UInt8], of path: [UInt8], what: String
    ) throws(SystemCallError) -> EntryName {
        if let name = try? EntryName(name) { return name }
        guard let resolved = unsafe path.withCString({ unsafe realpath($0, nil) }) else {
            throw SystemCallError(what, errorNumber: errno)
        }
        defer { unsafe free(resolved) }
        let whole = unsafe UnsafeBufferPointer(start: resolved, count: strlen(resolved)).map {
            UInt8(bitPattern: $0)
        }
        guard let name = try? EntryName(lastComponent(of: whole)) else {
            throw SystemCallError("\(what): it has no name", errorNumber: EINVAL)
        }
        return name
    }

    static func lastComponent(of path: [UInt8]) -> [UInt8] {
        let slash = UInt8(ascii: "/")
        var path = path[...]
        while path.count > 1, path.last == slash { path.removeLast() }
        return Array(path.split(separator: slash).last ?? [])
    }

    /// In the order of their bytes, so that two copies of one tree are alike.
    private static func names(
        in path: [UInt8], what: String
    ) throws(SystemCallError) -> [[UInt8]] {
        let text = path + [0]
        let stream = unsafe text.withUnsafeBytes { text in
            unsafe opendir(text.baseAddress!.assumingMemoryBound(to: CChar.self))
        }
        guard let stream = unsafe stream else {
            throw SystemCallError(what, errorNumber: errno)
        }
        defer { _ = unsafe closedir(stream) }
        var names: [[UInt8]] = []
        while let entry = unsafe readdir(stream) {
            let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                unsafe Array(bytes.prefix { $0 != 0 })
            }
            if name != [0x2e] && name != [0x2e, 0x2e] { names.append(name) }
        }
        return names.sorted { $0.lexicographicallyPrecedes($1) }
    }

    // MARK: Reading

    private func readPiece(of file: OpenFile) throws(SystemCallError) -> CopyRecord {
        let left = file.byteCount - file.offset
        guard left > 0 else {
            self.file = nil
            return .fileEnd(
                number: file.number, isWhole: true, checksum: file.checksum.value)
        }
        let text = String(decoding: file.path, as: UTF8.self)
        var piece = [UInt8](
            repeating: 0, count: Int(min(left, UInt64(CopyChecksum.pieceByteCount))))
        let count = try FileCall.read(
            file.descriptor.number, into: &piece, at: file.offset, what: text)
        guard count == piece.count else {
            throw SystemCallError("\(text): it became shorter", errorNumber: EIO)
        }
        file.offset += UInt64(count)
        file.checksum.add(piece[...])
        return .bytes(piece)
    }
}
