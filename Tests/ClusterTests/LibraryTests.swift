import Glibc
import Testing

extension ClusterTests {
    /// libbproc as a C programmer meets it: installed headers, libraries and pages.
    @Suite(
        .serialized,
        .enabled(if: InstalledLibrary.hasTools, "needs make, a C and a C++ compiler, binutils"))
    struct Library {
        static let recorded = RecordedInterface()

        @Test func theInterfaceIsTheRecordedOne() throws {
            try InstalledLibrary.with { library in
                for build in InstalledLibrary.Build.allCases {
                    let source = TestFile.write(
                        Self.recorded.program, to: "\(library.folder)/interface.c")
                    let program = try library.compile(source, as: build)
                    let printed = try library.run(program).split(separator: "\n")
                    #expect(printed.count > 100)
                    for (line, wanted) in zip(printed, Self.recorded.numbers) {
                        #expect(line == wanted)
                    }
                    #expect(printed.count == Self.recorded.numbers.count)
                }
                let names = try library.run(
                    "/usr/bin/nm", "-D", "--defined-only", "\(library.prefix)/lib/libbproc.so"
                ).split(separator: "\n").compactMap {
                    $0.split(separator: " ").last.map(String.init)
                }
                #expect(names.sorted() == Self.recorded.functions.sorted())
                try Self.checkFiles(of: library)
            }
        }

        /// The files of a classic installation, and what they say.
        static func checkFiles(of library: InstalledLibrary) throws {
            let dynamic = try library.run(
                "/usr/bin/readelf", "-d", "\(library.prefix)/lib/libbproc.so.4.0.0")
            #expect(dynamic.contains("[libbproc.so.4]"))
            // It lives in other people's programs: nothing but libc comes with it.
            let needed = dynamic.matches(of: /\(NEEDED\).*\[(.*)\]/).map(\.1)
            #expect(needed.contains("libc.so.6"))
            #expect(needed.allSatisfy { $0 == "libc.so.6" || $0.hasPrefix("ld-linux") })
            for (link, target) in [
                ("libbproc.so", "libbproc.so.4"), ("libbproc.so.4", "libbproc.so.4.0.0"),
            ] {
                let text = try library.run("/usr/bin/readlink", "\(library.prefix)/lib/\(link)")
                #expect(text == "\(target)\n")
            }
            if access("/usr/bin/pkg-config", X_OK) == 0 {
                let flags = try library.run("/usr/bin/pkg-config", "--cflags", "--libs", "bproc")
                #expect(flags.contains("-I\(library.prefix)/include"))
                #expect(flags.contains("-L\(library.prefix)/lib -lbproc"))
            }
            for function in recorded.functions {
                let page = "\(library.prefix)/share/man/man3/\(function).3"
                let lines = TestFile.text(page).split(separator: "\n")
                let first = try #require(lines.first, "\(function) has no page")
                guard first.hasPrefix(".so man3/") else { continue }
                #expect(access("\(library.prefix)/share/man/\(first.dropFirst(4))", R_OK) == 0)
            }
        }

        /// A constant that is in a header and not in the record would escape the comparison.
        @Test func theRecordIsComplete() throws {
            let subjects = Set(Self.recorded.numbers.map { $0.split(separator: " ")[1] })
            for header in ["bproc", "bproc_common", "bproc_job"] {
                let text = TestFile.text(
                    "\(Package.root)/Sources/CBProc/include/sys/\(header).h")
                var count = 0
                for match in text.matches(of: /#define ((?:BPROC|BE)_[A-Z0-9_]+) +[^ \\]/) {
                    #expect(subjects.contains(match.1), "\(match.1) is not in libbproc.abi")
                    count += 1
                }
                #expect(count > 0)
            }
        }

        /// Every public call is tried by a C program: here, or by one with a subject of its own.
        @Test func everyCallIsTried() throws {
            let programs = try InstalledLibrary(folder: "").run(
                "/usr/bin/find", "\(Package.root)/Tests/Programs", "-name", "*.c"
            ).split(separator: "\n").map { TestFile.text(String($0)) }.joined()
            for name in Self.recorded.functions {
                #expect(
                    programs.contains("\(name)("),
                    "no program under Tests/Programs calls \(name)")
            }
        }

        @Test func callsDoWhatTheyPromise() throws {
            try InstalledLibrary.with { library in
                let programs = try InstalledLibrary.Build.allCases.map {
                    try library.compile("\(Package.root)/Tests/Programs/calls/*.c", as: $0)
                }
                for program in programs { try Self.run(program, of: library, with: nil) }
                try TestCluster.with(nodes: 3) { cluster in
                    cluster.slaves[2]?.end()
                    try cluster.waitUntilUp([0, 1])
                    for program in programs { try Self.run(program, of: library, with: cluster) }
                    try Self.runAsOrdinaryUser(programs[0], of: library, with: cluster)
                }
            }
        }

        /// The functions that the program has a case for.
        static func names(of program: String, of library: InstalledLibrary) throws -> [String] {
            try library.run(program, "list").split(separator: "\n").map(String.init)
                .filter { recorded.functions.contains($0) }
        }

        /// Runs every case in a process of its own.
        static func run(
            _ program: String, of library: InstalledLibrary, with cluster: TestCluster?,
            through wrapper: [String] = []
        ) throws {
            let names = try names(of: program, of: library)
            #expect(names.count > 60)
            for name in names {
                let words = wrapper + [program, cluster == nil ? "alone" : "cluster", name]
                let outcome = try library.outcome(
                    of: words[0], Array(words.dropFirst()),
                    socket: cluster?.socket ?? "/no/such/socket")
                #expect(
                    outcome.status == 0,
                    "\(words.joined(separator: " ")): \(outcome.text)\(outcome.errorText)")
            }
        }

        static func runAsOrdinaryUser(
            _ program: String, of library: InstalledLibrary, with cluster: TestCluster
        ) throws {
            guard geteuid() == 0, access("/usr/bin/setpriv", X_OK) == 0 else { return }
            try run(
                program, of: library, with: cluster,
                through: [
                    "/usr/bin/setpriv", "--reuid=54321", "--regid=54321", "--clear-groups",
                ])
        }
    }
}
