import Testing

/// Arrows between the rooms go down, and files import only along them.
@Suite struct LayeringTests {
    static let pureTargets: Set<String> = [
        "NodeSpec", "RelayTree", "Wire", "Relay", "MasterCore", "SlaveCore", "GhostCore",
    ]
    /// Modules of the toolchain that a target with I/O may use.
    static let systemModules: Set<String> = ["Glibc", "Synchronization"]
    /// Each starts threads or takes memory that a daemon does not have.
    static let bannedModules: Set<String> = [
        "Foundation", "FoundationEssentials", "FoundationNetworking", "Dispatch", "_Concurrency",
    ]

    /// The one file that may use FoundationEssentials, for JSON5.
    static let configurationReader = "Sources/DaemonSupport/ConfigurationFile.swift"

    static let swiftFiles = SourceTree.files(under: "Sources", withExtensions: ["swift"])

    @Test func readsTheManifest() throws {
        let graph = PackageGraph.current
        #expect(graph.targets.count > 20)
        #expect(graph.target("RelayTree")?.dependencies == ["NodeSpec"])
        #expect(graph.target("CLiburing")?.kind == "systemLibrary")
        #expect(graph.target("Master")?.dependencies.contains("Logging") == true)
        #expect(!Self.swiftFiles.isEmpty)
    }

    @Test func readsImportLines() {
        let file = TextFile(
            path: "Sources/A/a.swift",
            text: """
                public import NodeSpec
                @preconcurrency import Glibc
                import struct Wire.FrameHeader
                // import Nothing
                let important = 1
                """)
        #expect(SwiftImports.modules(in: file) == ["NodeSpec", "Glibc", "Wire"])
        #expect(file.target == "A")
    }

    @Test func everySourceFolderIsATarget() {
        for file in Self.swiftFiles {
            #expect(
                file.target.flatMap { PackageGraph.current.target($0) } != nil,
                "\(file.path) is in no target of Package.swift")
        }
    }

    /// The manifest lists targets from the bottom up, so an arrow that goes up points forward.
    @Test func arrowsGoDown() {
        var declared: Set<String> = ["ArgumentParser", "Logging", "Crypto"]
        for target in PackageGraph.current.targets {
            for dependency in target.dependencies {
                #expect(
                    declared.contains(dependency),
                    "\(target.name) depends on \(dependency), which is declared above it")
            }
            declared.insert(target.name)
        }
    }

    @Test func pureTargetsDependOnPureTargets() {
        for name in Self.pureTargets.sorted() {
            let dependencies = Set(PackageGraph.current.target(name)?.dependencies ?? ["nothing"])
            #expect(
                dependencies.isSubset(of: Self.pureTargets),
                "\(name) is pure and depends on \(dependencies.subtracting(Self.pureTargets))")
        }
    }

    @Test func filesImportAlongTheArrows() {
        for file in Self.swiftFiles {
            guard let name = file.target, let target = PackageGraph.current.target(name) else {
                continue
            }
            var allowed = Set(target.dependencies)
            if file.path == Self.configurationReader { allowed.insert("FoundationEssentials") }
            if !Self.pureTargets.contains(name) { allowed.formUnion(Self.systemModules) }
            for module in SwiftImports.modules(in: file) {
                #expect(
                    allowed.contains(module),
                    "\(file.path) imports \(module), which is no dependency of \(name)")
            }
        }
    }

    @Test func nothingBringsThreadsOrFoundation() {
        for file in Self.swiftFiles {
            var banned = SwiftImports.modules(in: file).filter { Self.bannedModules.contains($0) }
            // The configuration is read once, before there is a daemon; the parser of the options
            // links this module already.
            if file.path == Self.configurationReader {
                banned.removeAll { $0 == "FoundationEssentials" }
            }
            #expect(banned.isEmpty, "\(file.path) imports \(banned)")
        }
    }

    /// Everything on a ring is plain synchronous code: concurrency would bring a thread pool.
    @Test func nothingStartsTasks() {
        for file in Self.swiftFiles {
            for (index, line) in file.lines.enumerated() {
                let code = Self.code(of: line)
                #expect(
                    !code.contains(/\bawait\s|\basync\b|\bTask(\.detached)?\s*[({]/),
                    "\(file.path):\(index + 1) uses concurrency")
            }
        }
        #expect(Self.code(of: "let a = \"await x\" // async").contains("await") == false)
        #expect(Self.code(of: "await x()").contains(/\bawait\s/))
    }

    /// A line without its comment and the text of its strings.
    private static func code(of line: Substring) -> String {
        let withoutStrings = line.replacing(/"([^"\\]|\\.)*"/, with: "\"\"")
        return String(
            withoutStrings.prefix(
                upTo: withoutStrings.firstRange(of: "//")?.lowerBound
                    ?? withoutStrings.endIndex))
    }
}
