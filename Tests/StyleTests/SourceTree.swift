import Foundation

/// A text file of the package, by its path from the package's root.
struct TextFile {
    let path: String
    let text: String

    var lines: [Substring] { text.split(separator: "\n", omittingEmptySubsequences: false) }

    var `extension`: String {
        let name = path.split(separator: "/").last ?? ""
        guard let dot = name.lastIndex(of: "."), dot != name.startIndex else { return "" }
        return String(name[name.index(after: dot)...])
    }

    /// The target a file under Sources belongs to.
    var target: String? {
        let parts = path.split(separator: "/")
        return parts.count > 2 && parts[0] == "Sources" ? String(parts[1]) : nil
    }
}

/// The package as it lies on disk.
enum SourceTree {
    /// Found from where this file was compiled: Tests/StyleTests/SourceTree.swift.
    static let root: String = {
        var url = URL(fileURLWithPath: #filePath)
        for _ in 0..<3 { url.deleteLastPathComponent() }
        return url.path
    }()

    /// Every text file of the package, build products and repository data left out.
    static let files: [TextFile] = {
        var files: [TextFile] = []
        var folders = [""]
        while let folder = folders.popLast() {
            let names =
                (try? FileManager.default.contentsOfDirectory(atPath: "\(root)/\(folder)")) ?? []
            // In a second working copy ".git" is a file that says where the repository is.
            for name in names.sorted() where name != ".git" {
                let path = folder.isEmpty ? name : "\(folder)/\(name)"
                if let attributes = try? FileManager.default.attributesOfItem(
                    atPath: "\(root)/\(path)"),
                    attributes[.type] as? FileAttributeType == .typeDirectory
                {
                    if !isBuildProduct(folder: path) { folders.append(path) }
                    continue
                }
                // Products of a Makefile lie beside their sources; they are no UTF-8 text.
                guard let data = FileManager.default.contents(atPath: "\(root)/\(path)"),
                    data.count < 1 << 20, !data.contains(0),
                    let text = String(data: data, encoding: .utf8)
                else { continue }
                files.append(TextFile(path: path, text: text))
            }
        }
        return files.sorted { $0.path < $1.path }
    }()

    private static func isBuildProduct(folder path: String) -> Bool {
        if path == ".ci" { return false }
        let name = path.split(separator: "/").last ?? ""
        return name.hasPrefix(".") || path == "out"
    }

    static func files(under folder: String, withExtensions extensions: Set<String>) -> [TextFile] {
        files.filter { $0.path.hasPrefix("\(folder)/") && extensions.contains($0.extension) }
    }
}
