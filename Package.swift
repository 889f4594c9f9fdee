// swift-tools-version: 6.2
import PackageDescription

// The target graph is the architecture: arrows only go down (docs/ARCHITECTURE.md draws it, and
// Tests/StyleTests reads the import lines).

let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .strictMemorySafety(),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
]

let testing: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
]

let strictC: [CSetting] = [.treatAllWarnings(as: .error)]

// The restore code is copied out of the executable: no table, constant or function may lie outside its
// section, so the compiler may make none (ProcessImageTests reads the relocations).
let freestanding: CSetting = .unsafeFlags([
    "-ffreestanding", "-fno-jump-tables", "-fno-stack-protector", "-mgeneral-regs-only", "-Os",
    "-fno-unwind-tables", "-fno-asynchronous-unwind-tables",
])

// Daemons and commands are static executables: a node needs this one file and nothing else, and
// start-up costs 0.5 ms instead of 4.
let staticExecutable: [LinkerSetting] = [
    // FoundationEssentials (under the argument parser) names its own parts only in its static module;
    // naming them here lets plain `swift build` and `swift test` link it.
    .unsafeFlags(
        [
            "-static-executable", "-lFoundationEssentials", "-l_FoundationCShims",
            "-l_FoundationCollections", "-lswiftSynchronization",
        ], .when(configuration: .release))
]

let argumentParser: Target.Dependency = .product(
    name: "ArgumentParser", package: "swift-argument-parser")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")

let package = Package(
    name: "bproc",
    products: [
        .executable(name: "bpmaster", targets: ["bpmaster"]),
        .executable(name: "bpslave", targets: ["bpslave"]),
        .executable(name: "bpsh", targets: ["bpsh"]),
        .executable(name: "bpstat", targets: ["bpstat"]),
        .executable(name: "bpctl", targets: ["bpctl"]),
        .executable(name: "bpcp", targets: ["bpcp"]),
        .executable(name: "bpcp-node", targets: ["bpcpnode"]),
        .executable(name: "bplib", targets: ["bplib"]),
        .executable(name: "bpcluster", targets: ["bpcluster"]),
        .executable(name: "bpimage", targets: ["bpimage"]),
        .executable(name: "bpkill", targets: ["bpkill"]),
        .executable(name: "bpps", targets: ["bpps"]),
        .library(name: "BProc", targets: ["BProc"]),
    ],
    dependencies: [
        // Options, help texts and completions of every command.
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        // Levels and labels for the daemons' log lines.
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
    ],
    targets: [
        // System libraries.
        // The ring: set-up, submission, completion.
        .systemLibrary(
            name: "CLiburing", pkgConfig: "liburing", providers: [.apt(["liburing-dev"])]),
        // LZ4: images travel packed on slow networks.
        .systemLibrary(name: "CLZ4", pkgConfig: "liblz4", providers: [.apt(["liblz4-dev"])]),
        // XXH3, the image checksum: memory speed without cryptographic claims.
        .systemLibrary(
            name: "CXXHash", pkgConfig: "libxxhash", providers: [.apt(["libxxhash-dev"])]),

        // C: only where Swift cannot go.
        // The image's bytes: headers that the restore code, libbproc and Swift share.
        .target(name: "CImageFormat"),
        .target(name: "CSystem", dependencies: ["CImageFormat"], cSettings: strictC),
        .target(name: "CLocalProtocol"),
        .target(
            name: "CRestore", dependencies: ["CImageFormat", "CLocalProtocol"],
            cSettings: strictC + [freestanding]),
        .target(name: "CChecksum", cSettings: strictC),
        // The program that a block of a copy is: freestanding as the restore code is.
        .target(name: "CBlockWriter", cSettings: strictC + [freestanding]),
        .target(
            name: "CBProc", dependencies: ["CLocalProtocol", "CImageFormat", "CRestore"],
            cSettings: strictC),
        // Ghosts between clone and death, in memory that they share with their server.
        .target(
            name: "CGhosts", dependencies: ["CImageFormat", "CLocalProtocol"],
            cSettings: strictC + [.headerSearchPath("../CRestore")]),

        // Pure: values and decisions, no I/O and no Glibc.
        .target(name: "NodeSpec", swiftSettings: strict),
        .target(name: "RelayTree", dependencies: ["NodeSpec"], swiftSettings: strict),
        .target(
            name: "Wire", dependencies: ["NodeSpec", "RelayTree"], exclude: ["FORMAT.md"],
            swiftSettings: strict),
        .target(
            name: "Relay", dependencies: ["NodeSpec", "RelayTree", "Wire"], swiftSettings: strict),
        .target(
            name: "MasterCore", dependencies: ["NodeSpec", "RelayTree", "Wire", "Relay"],
            swiftSettings: strict),
        .target(
            name: "SlaveCore", dependencies: ["NodeSpec", "RelayTree", "Wire", "Relay"],
            swiftSettings: strict),

        .target(name: "GhostCore", dependencies: ["Wire"], swiftSettings: strict),

        // I/O: carries the decisions out.
        .target(name: "System", dependencies: ["CSystem"], swiftSettings: strict),
        .target(
            name: "Ring", dependencies: ["System", "CLiburing", "CSystem"], swiftSettings: strict),
        .target(
            name: "ProcessImage",
            dependencies: [
                "System", "CSystem", "CImageFormat", "CRestore", "CLocalProtocol", "CChecksum",
                "CXXHash", "CLZ4",
            ],
            exclude: ["FORMAT.md"],
            swiftSettings: strict),

        // The messages of one machine.
        .target(name: "LocalProtocol", dependencies: ["CLocalProtocol"], swiftSettings: strict),
        .target(
            name: "Ghosts",
            dependencies: [
                "GhostCore", "Wire", "LocalProtocol", "System", "CSystem", "CGhosts",
                "CLocalProtocol",
            ], swiftSettings: strict),

        .target(
            name: "Link", dependencies: ["Ring", "System", "Relay", "Wire"], swiftSettings: strict),

        // The log of a daemon: levels for each component, lines as the journal wants them.
        .target(name: "DaemonLog", dependencies: [logging], swiftSettings: strict),

        // What both daemons stand on: ring, links, relay links, local programs.
        .target(
            name: "Host",
            dependencies: [
                "Link", "Relay", "RelayTree", "Wire", "Ring", "System", "CSystem", "ProcessImage",
                "Ghosts", "LocalProtocol", "CLocalProtocol", "DaemonLog", logging,
            ], swiftSettings: strict),

        // Daemons.
        .target(
            name: "Master",
            dependencies: [
                "MasterCore", "Host", "Link", "Relay", "RelayTree", "NodeSpec", "Wire", "Ring",
                "System", "CSystem", "ProcessImage", "LocalProtocol", "CLocalProtocol", "DaemonLog",
                logging,
            ], swiftSettings: strict),
        .target(
            name: "Slave",
            dependencies: [
                "SlaveCore", "Host", "Link", "Relay", "RelayTree", "NodeSpec", "Wire", "Ring", "System",
                "CSystem", "ProcessImage", "LocalProtocol", "CLocalProtocol", "DaemonLog", logging,
            ], swiftSettings: strict),

        .target(
            name: "DaemonSupport",
            dependencies: ["DaemonLog", "System", "CSystem", argumentParser, logging],
            swiftSettings: strict),

        // Clients.
        .target(name: "BProc", dependencies: ["CBProc", "CLocalProtocol"], swiftSettings: strict),
        // Trees of files as records, and blocks of their bytes as programs.
        .target(
            name: "FileCopy", dependencies: ["System", "CSystem", "CChecksum", "CBlockWriter"],
            exclude: ["FORMAT.md"], swiftSettings: strict),
        .target(
            name: "CommandSupport",
            dependencies: ["BProc", "NodeSpec", "System", "CSystem", argumentParser],
            swiftSettings: strict),

        // Tools: one short main each.
        .executableTarget(
            name: "bpmaster",
            dependencies: [
                "Master", "MasterCore", "Host", "Link", "NodeSpec", "Wire", "DaemonSupport",
                "DaemonLog", "System", "CSystem", argumentParser, logging,
            ],
            swiftSettings: strict, linkerSettings: staticExecutable),
        .executableTarget(
            name: "bpslave",
            dependencies: [
                "Slave", "Host", "DaemonSupport", "DaemonLog", "System", "CSystem", argumentParser,
                logging,
            ],
            swiftSettings: strict, linkerSettings: staticExecutable),
        .executableTarget(
            name: "bpsh", dependencies: ["CommandSupport", "BProc", "System", argumentParser],
            swiftSettings: strict, linkerSettings: staticExecutable),
        .executableTarget(
            name: "bpstat", dependencies: ["CommandSupport", "BProc", argumentParser],
            swiftSettings: strict, linkerSettings: staticExecutable),
        .executableTarget(
            name: "bpkill", dependencies: ["CommandSupport", "BProc", argumentParser],
            swiftSettings: strict, linkerSettings: staticExecutable),
        .executableTarget(
            name: "bpps", dependencies: ["CommandSupport", "BProc", argumentParser],
            swiftSettings: strict, linkerSettings: staticExecutable),
        .executableTarget(
            name: "bpctl", dependencies: ["CommandSupport", "BProc", "System", argumentParser],
            swiftSettings: strict, linkerSettings: staticExecutable),
        .executableTarget(
            name: "bpcp",
            dependencies: ["CommandSupport", "BProc", "FileCopy", "System", argumentParser],
            swiftSettings: strict, linkerSettings: staticExecutable),
        // What bpcp places on nodes: no command line, so that its image is small.
        .executableTarget(
            name: "bpcpnode", dependencies: ["FileCopy"], swiftSettings: strict,
            linkerSettings: [
                .unsafeFlags(["-static-executable"], .when(configuration: .release))
            ]),
        .executableTarget(
            name: "bplib", dependencies: ["CommandSupport", "BProc", argumentParser],
            swiftSettings: strict, linkerSettings: staticExecutable),
        .executableTarget(
            name: "bpcluster",
            dependencies: ["CommandSupport", "BProc", "System", "CSystem", argumentParser],
            swiftSettings: strict, linkerSettings: staticExecutable),

        .executableTarget(
            name: "bpimage",
            dependencies: ["CommandSupport", "ProcessImage", "System", "CSystem", argumentParser],
            swiftSettings: strict, linkerSettings: staticExecutable),

        // An example that is tested: a process moves over the nodes.
        .executableTarget(
            name: "journey", dependencies: ["BProc"], path: "examples/journey",
            swiftSettings: strict),

        // Tests: one target per library, and the whole cluster with real daemons.
        .target(
            name: "SimulatedCluster",
            dependencies: ["MasterCore", "SlaveCore", "Relay", "RelayTree", "Wire"],
            path: "Tests/SimulatedCluster", swiftSettings: testing),
        .testTarget(
            name: "SimulationTests", dependencies: ["SimulatedCluster"], swiftSettings: testing),
        // Children that hold files and mappings: fork in a test has to stay in C.
        .target(name: "CTestSupport", path: "Tests/CTestSupport", cSettings: strictC),
        .testTarget(
            name: "SystemTests", dependencies: ["System", "CSystem", "CTestSupport"],
            swiftSettings: testing),
        .testTarget(
            name: "RingTests", dependencies: ["Ring", "System", "CSystem", "CTestSupport"],
            swiftSettings: testing),
        .testTarget(name: "NodeSpecTests", dependencies: ["NodeSpec"], swiftSettings: testing),
        .testTarget(
            name: "RelayTreeTests", dependencies: ["NodeSpec", "RelayTree"], swiftSettings: testing),
        .testTarget(
            name: "MasterCoreTests", dependencies: ["MasterCore", "NodeSpec", "Relay", "Wire"],
            swiftSettings: testing),
        .testTarget(
            name: "SlaveCoreTests", dependencies: ["SlaveCore", "Relay", "Wire"],
            swiftSettings: testing),
        .testTarget(
            name: "DaemonSupportTests",
            dependencies: ["DaemonSupport", "DaemonLog", argumentParser],
            swiftSettings: testing),
        // Random valid messages, for the tests of the protocol and as seeds of the fuzzer.
        .target(
            name: "WireSamples", dependencies: ["Wire", "SimulatedCluster"],
            path: "Tests/WireSamples", swiftSettings: testing),
        .testTarget(
            name: "WireTests", dependencies: ["Wire", "WireSamples"], swiftSettings: testing),
        .testTarget(
            name: "RelayTests", dependencies: ["Relay", "Wire", "WireSamples", "SimulatedCluster"],
            swiftSettings: testing),
        // Packed images that tests damage, and whose checksums they make right again.
        .target(
            name: "ImageSamples", dependencies: ["ProcessImage", "System"],
            path: "Tests/ImageSamples", swiftSettings: testing),
        // Every reader of foreign bytes as a fuzz target: a short run as a test, long ones by hand.
        .target(
            name: "FuzzTargets",
            dependencies: [
                "Wire", "WireSamples", "SimulatedCluster", "NodeSpec", "Relay", "MasterCore",
                "SlaveCore", "Master", "Host", "ProcessImage", "ImageSamples", "CRestore", "CSystem",
                "CImageFormat", "LocalProtocol", "CLocalProtocol", "CBProc", "GhostCore", "Ghosts",
                "FileCopy",
            ], path: "Tests/FuzzTargets", swiftSettings: testing),
        .testTarget(name: "FuzzTests", dependencies: ["FuzzTargets"], swiftSettings: testing),
        .executableTarget(
            name: "fuzz", dependencies: ["FuzzTargets"], path: "Tests/Fuzz", exclude: ["corpus"],
            swiftSettings: testing),
        .testTarget(
            name: "GhostTests", dependencies: ["GhostCore", "Wire"], swiftSettings: testing),
        .testTarget(name: "StyleTests", swiftSettings: testing),
        .testTarget(
            name: "ClusterTests",
            dependencies: [
                "System", "CSystem", "CBProc", "ProcessImage", "ImageSamples", "CTestSupport",
            ],
            exclude: ["libbproc.abi"],
            swiftSettings: testing),
        .target(name: "ClientTestSupport", path: "Tests/ClientTestSupport", cSettings: strictC),
        .testTarget(
            name: "BProcTests",
            dependencies: ["BProc", "CBProc", "CLocalProtocol", "NodeSpec", "ClientTestSupport"],
            swiftSettings: testing),
        .testTarget(
            name: "CommandTests", dependencies: ["CommandSupport", "BProc", "System", "NodeSpec"],
            swiftSettings: testing),
        // Takes and restores images by hand; the image tests run it where they need a process of its own.
        .executableTarget(
            name: "imagetool", dependencies: ["ProcessImage", "System"],
            path: "Tests/Programs/imagetool", swiftSettings: testing),
        .testTarget(
            name: "ProcessImageTests",
            dependencies: [
                "ProcessImage", "System", "CRestore", "CXXHash", "CLocalProtocol", "ImageSamples",
                "imagetool",
            ], swiftSettings: testing),
    ]
)
