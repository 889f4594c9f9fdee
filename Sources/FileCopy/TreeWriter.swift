import Glibc
import System

/// Writes what records say below a target. Each file gets its name in one step, once it is whole
/// and its checksum is right; until then it has a temporary one.
///
/// Directories are held open, and every name is used in one of them without following links: what
/// the records say cannot lead out of the target.
public final class TreeWriter {
    public struct Settings: Sendable {
        /// Modes and times as at the source, whatever the umask is.
        public var preserves = false
        /// The target has to be a directory.
        public var needsDirectory = false
        /// Before the number of a temporary name.
        public var temporaryPrefix: String
        /// Records without bytes: block writers bring them.
        public var bytesComeOtherwise = false

        public init(temporaryPrefix: String) { self.temporaryPrefix = temporaryPrefix }
    }

    /// A directory until all in it is done; then it gets its own time.
    private final class Directory {
        let descriptor: OwnedDescriptor
        let path: [UInt8]
        /// What it shall have at the end.
        var final: (mode: UInt32, time: FileTime?)?

        init(_ descriptor: consuming OwnedDescriptor, path: [UInt8]) {
            self.descriptor = descriptor
            self.path = path
        }

        func path(of name: [UInt8]) -> String {
            let slash = path.last == UInt8(ascii: "/") ? [] : [UInt8(ascii: "/")]
            return String(decoding: path + slash + name, as: UTF8.self)
        }

        deinit {
            guard let final else { return }
            _ = fchmod(descriptor.number, final.mode)
            if let time = final.time {
                try? FileCall.setTime(of: descriptor.number, to: time, what: "")
            }
        }
    }

    private final class PendingFile {
        let directory: Directory
        let name: [UInt8]
        let temporary: [UInt8]
        let descriptor: OwnedDescriptor
        let mode: UInt32
        let time: FileTime
        let byteCount: UInt64
        var offset: UInt64 = 0

        init(
            directory: Directory, name: [UInt8], temporary: [UInt8],
            descriptor: consuming OwnedDescriptor, mode: UInt32, time: FileTime, byteCount: UInt64
        ) {
            self.directory = directory
            self.name = name
            self.temporary = temporary
            self.descriptor = descriptor
            self.mode = mode
            self.time = time
            self.byteCount = byteCount
        }

        var path: String { directory.path(of: name) }
    }

    private let target: [UInt8]
    private let settings: Settings
    private let mask: UInt32
    private var directories: [Directory] = []
    /// How many directories are passed over because the one around them cannot be written.
    private var skippedDepth = 0
    private var pending: [UInt32: PendingFile] = [:]
    private var current: UInt32?
    public private(set) var failures: [CopyFailure] = []

    public init(target: [UInt8], settings: Settings) {
        self.target = target.isEmpty ? [UInt8(ascii: ".")] : target
        self.settings = settings
        let mask = umask(0o077)
        _ = umask(mask)
        self.mask = UInt32(mask)
    }

    deinit { giveUp() }

    /// Failures since the last time.
    public func takeFailures() -> [CopyFailure] {
        defer { failures = [] }
        return failures
    }

    /// Removes every file that is not whole.
    public func giveUp() {
        for file in pending.values { remove(file) }
        pending = [:]
        current = nil
    }

    /// - Throws: what no reader of a tree would say.
    public func take(_ record: CopyRecord) throws(CopyFormatError) {
        switch record {
        case .directory(let name, let mode, let time):
            guard skippedDepth == 0 else {
                skippedDepth += 1
                return
            }
            guard directories.count < CopyRecord.depthLimit else { throw .badBody(kind: 1) }
            do throws(SystemCallError) {
                directories.append(try enter(name.bytes, mode: mode, time: time))
            } catch {
                note(error)
                skippedDepth = 1
            }
        case .directoryEnd:
            if skippedDepth > 0 {
                skippedDepth -= 1
            } else {
                guard directories.popLast() != nil else { throw .badBody(kind: 2) }
            }
        case .file(let number, let name, let mode, let time, let byteCount):
            current = number
            guard skippedDepth == 0, pending[number] == nil else { return }
            do throws(SystemCallError) {
                pending[number] = try create(
                    name.bytes, number: number, mode: mode, time: time, byteCount: byteCount)
            } catch {
                note(error, file: number)
            }
        case .bytes(let bytes): try write(bytes)
        case .fileEnd(let number, let isWhole, let checksum):
            finish(number, isWhole: isWhole, checksum: checksum)
        case .giveUp: giveUp()
        case .failure, .barrier, .end: break
        }
    }

    private func note(_ error: SystemCallError, file: UInt32? = nil) {
        failures.append(
            CopyFailure(
                file: file, errorNumber: error.errorNumber, sentence: error.description))
    }

    // MARK: Directories

    /// Where a name of the copy lies: in the directory around it; at the top in the target, if that
    /// is a directory, or it is the target.
    private func place(of name: [UInt8]) throws(SystemCallError) -> (Directory, name: [UInt8]) {
        if let directory = directories.last { return (directory, name) }
        let text = String(decoding: target, as: UTF8.self)
        let status = try? FileCall.status(of: target, followsLinks: true, what: text)
        if let status, status.isDirectory {
            let descriptor = try FileCall.open(
                target, flags: O_RDONLY | O_DIRECTORY, what: text)
            return (Directory(descriptor, path: target), name)
        }
        guard !settings.needsDirectory, target.last != UInt8(ascii: "/") else {
            throw SystemCallError(text, errorNumber: status == nil ? ENOENT : ENOTDIR)
        }
        let parts = TreeWriter.split(target)
        let parent = try FileCall.open(
            parts.parent, flags: O_RDONLY | O_DIRECTORY, what: text)
        return (Directory(parent, path: parts.parent), parts.name)
    }

    /// A path's directory and its last name.
    static func split(_ path: [UInt8]) -> (parent: [UInt8], name: [UInt8]) {
        guard let slash = path.lastIndex(of: UInt8(ascii: "/")) else {
            return ([UInt8(ascii: ".")], path)
        }
        let parent = slash == 0 ? [UInt8(ascii: "/")] : Array(path[..<slash])
        return (parent, Array(path[(slash + 1)...]))
    }

    private func enter(
        _ name: [UInt8], mode: UInt32, time: FileTime
    ) throws(SystemCallError) -> Directory {
        let (parent, name) = try place(of: name)
        let text = parent.path(of: name)
        var isNew = true
        do throws(SystemCallError) {
            try unsafe FileCall.named(name, what: text) {
                unsafe mkdirat(parent.descriptor.number, $0, 0o700)
            }
        } catch {
            guard error.errorNumber == EEXIST else { throw error }
            isNew = false
        }
        let descriptor = try FileCall.open(
            name, in: parent.descriptor.number, flags: O_RDONLY | O_DIRECTORY | O_NOFOLLOW,
            what: text)
        let directory = Directory(descriptor, path: Array(text.utf8))
        if settings.preserves {
            directory.final = (mode, time)
        } else if isNew {
            directory.final = (mode & 0o777 & ~mask, nil)
        }
        return directory
    }

    // MARK: Files

    private func create(
        _ name: [UInt8], number: UInt32, mode: UInt32, time: FileTime, byteCount: UInt64
    ) throws(SystemCallError) -> PendingFile {
        let (directory, name) = try place(of: name)
        let text = directory.path(of: name)
        let parent = directory.descriptor.number
        var mode = settings.preserves ? mode : mode & 0o777 & ~mask
        // A link is replaced itself, and so never followed.
        if let old = try? FileCall.status(of: name, in: parent, followsLinks: false, what: text) {
            guard !old.isDirectory else { throw SystemCallError(text, errorNumber: EISDIR) }
            guard old.isRegular || old.kind == S_IFLNK else {
                throw SystemCallError("\(text): no regular file", errorNumber: EINVAL)
            }
            if old.isRegular && !settings.preserves { mode = old.mode & 0o777 }
        }
        let temporary = Array("\(settings.temporaryPrefix)\(number)".utf8)
        let descriptor = try FileCall.open(
            temporary, in: parent, flags: O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, mode: 0o600,
            what: text)
        let file = PendingFile(
            directory: directory, name: name, temporary: temporary, descriptor: descriptor,
            mode: mode, time: time, byteCount: byteCount)
        do throws(SystemCallError) {
            try reserve(file)
        } catch {
            remove(file)
            throw error
        }
        return file
    }

    /// A full disk is noticed before the bytes are on their way.
    private func reserve(_ file: PendingFile) throws(SystemCallError) {
        guard file.byteCount > 0 else { return }
        while true {
            // It answers the error number, and does the work itself where the file system cannot.
            switch posix_fallocate(file.descriptor.number, 0, off_t(file.byteCount)) {
            case 0: return
            case EINTR: continue
            case let number: throw SystemCallError(file.path, errorNumber: number)
            }
        }
    }

    private func write(_ bytes: [UInt8]) throws(CopyFormatError) {
        guard !settings.bytesComeOtherwise, let current else { throw .badBody(kind: 4) }
        guard let file = pending[current] else { return }
        guard file.byteCount - file.offset >= UInt64(bytes.count) else {
            throw .badBody(kind: 4)
        }
        do throws(SystemCallError) {
            try FileCall.write(
                file.descriptor.number, bytes, at: file.offset, what: file.path)
            file.offset += UInt64(bytes.count)
        } catch {
            note(error, file: current)
            drop(current)
        }
    }

    private func finish(_ number: UInt32, isWhole: Bool, checksum: UInt64) {
        if current == number { current = nil }
        guard let file = pending[number] else { return }
        guard isWhole else {
            drop(number)
            return
        }
        do throws(SystemCallError) {
            try verify(file, checksum)
            let descriptor = file.descriptor.number
            _ = try FileCall.retrying(file.path) { fchmod(descriptor, file.mode) }
            if settings.preserves {
                try FileCall.setTime(of: descriptor, to: file.time, what: file.path)
            }
            let parent = file.directory.descriptor.number
            try unsafe FileCall.named(file.name, what: file.path) { name in
                unsafe file.temporary.withCString { unsafe renameat(parent, $0, parent, name) }
            }
            pending[number] = nil
        } catch {
            note(error, file: number)
            drop(number)
        }
    }

    /// Reads the file as it is on this machine now.
    private func verify(_ file: PendingFile, _ checksum: UInt64) throws(SystemCallError) {
        let descriptor = file.descriptor.number
        let status = try FileCall.status(of: descriptor, what: file.path)
        guard status.byteCount == file.byteCount else {
            throw SystemCallError("\(file.path): not all of it arrived", errorNumber: EIO)
        }
        var sum = CopyChecksum()
        var piece = [UInt8](repeating: 0, count: CopyChecksum.pieceByteCount)
        var offset: UInt64 = 0
        while offset < file.byteCount {
            let count = try FileCall.read(
                descriptor, into: &piece, at: offset, what: file.path)
            guard count > 0 else {
                throw SystemCallError("\(file.path): it became shorter", errorNumber: EIO)
            }
            sum.add(piece[..<count])
            offset += UInt64(count)
        }
        guard sum.value == checksum else {
            throw SystemCallError("\(file.path): its checksum is wrong", errorNumber: EIO)
        }
    }

    private func drop(_ number: UInt32) {
        guard let file = pending.removeValue(forKey: number) else { return }
        remove(file)
    }

    private func remove(_ file: PendingFile) {
        _ = unsafe file.temporary.withCString {
            unsafe unlinkat(file.directory.descriptor.number, $0, 0)
        }
    }
}

extension [UInt8] {
    /// The bytes hold no NUL.
    func withCString<Result>(_ body: (UnsafePointer<CChar>) -> Result) -> Result {
        let text = self + [0]
        return unsafe text.withUnsafeBytes { text in
            unsafe body(text.baseAddress!.assumingMemoryBound(to: CChar.self))
        }
    }
}
