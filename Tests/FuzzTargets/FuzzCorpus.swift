import Glibc

/// The saved inputs of each target: files under Tests/Fuzz/corpus, found from where this was
/// compiled.
public enum FuzzCorpus {
    static let folder: String = {
        let parts = #filePath.split(separator: "/").dropLast(2)
        return "/" + parts.joined(separator: "/") + "/Fuzz/corpus"
    }()

    public static func folder(of target: FuzzTarget) -> String { "\(folder)/\(target.name)" }

    /// Every input of a target, in the order of the file names.
    public static func inputs(of target: FuzzTarget) -> [[UInt8]] {
        names(in: folder(of: target)).sorted().compactMap { read("\(folder(of: target))/\($0)") }
    }

    /// Saves the target's own valid inputs. Files that are there already are kept.
    public static func save(_ target: FuzzTarget) -> Bool {
        for (index, bytes) in target.seeds().enumerated() {
            let path = "\(folder(of: target))/valid-\(index)"
            _ = mkdir(folder, 0o777)
            _ = mkdir(folder(of: target), 0o777)
            let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
            if descriptor < 0 && errno == EEXIST { continue }
            guard descriptor >= 0 else { return false }
            defer { close(descriptor) }
            guard write(descriptor, bytes, bytes.count) == bytes.count else { return false }
        }
        return true
    }

    private static func names(in folder: String) -> [String] {
        guard let directory = opendir(folder) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names
    }

    public static func read(_ path: String) -> [UInt8]? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = Glibc.read(descriptor, &piece, piece.count)
            guard count > 0 else { return count == 0 ? bytes : nil }
            bytes += piece[..<count]
        }
    }
}
