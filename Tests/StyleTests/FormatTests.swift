import Foundation
import Testing

/// The formatter of the toolchain has nothing to say.
@Suite struct FormatTests {
    /// The compiler driver that brings the formatter, if there is one.
    static let swift: String? = {
        let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
        let folders = path.split(separator: ":").map(String.init) + ["/opt/swift/usr/bin"]
        return folders.map { "\($0)/swift" }.first { swift in
            FileManager.default.isExecutableFile(atPath: swift)
                && FileManager.default.isExecutableFile(atPath: "\(swift)-format")
        }
    }()

    @Test(.enabled(if: swift != nil, "swift-format is neither on PATH nor in /opt/swift/usr/bin"))
    func sourcesAndTestsAreFormatted() throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: try #require(Self.swift))
        process.arguments = [
            "format", "lint", "--strict", "--parallel", "--recursive", "Sources", "Tests",
        ]
        process.currentDirectoryURL = URL(fileURLWithPath: SourceTree.root)
        let output = Pipe()
        process.standardOutput = output
        process.standardError = output
        try process.run()
        // Read to the end first: a full pipe would keep the formatter from ending.
        let text = String(
            decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        #expect(process.terminationStatus == 0, "\(text)")
    }
}
