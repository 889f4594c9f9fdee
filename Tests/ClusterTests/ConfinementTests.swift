import Glibc
import Testing

extension ClusterTests {
    /// Nodes that have little: no files, no ring, no privilege.
    @Suite(.serialized) struct Confinement {
        static let isRoot = geteuid() == 0

        // MARK: Nothing but the slave

        @Test(.enabled(if: isRoot, "a root directory of its own needs root"))
        func programsRunInAnEmptyRoot() throws {
            let programs = Programs()
            defer { programs.remove() }
            let cc = try programs.compile("inside.cc", with: "/usr/bin/c++", ["-O1", "-pthread"])
            let swift = try programs.compileSwift("inside.swift")
            try Self.withEmptyRoot { cluster, root in
                let list = try cluster.run("0-1", "ls", "-a", "/")
                #expect(list.status == 0, "\(list.errorText)")
                #expect(list.text == ".\n..\n.\n..\n")

                let shell = try cluster.run("0-1", "sh", "-c", "echo $((6 * 7)); test -d /proc")
                #expect(shell.status == 1, "\(shell.errorText)")
                #expect(shell.text == "42\n42\n")

                let inC = try cluster.run("0-1", cc, "argument")
                #expect(inC.status == 42, "\(inC.errorText)")
                #expect(inC.text == "c++: all well\nc++: all well\n")

                let inSwift = try cluster.run("0-1", swift, "argument")
                #expect(inSwift.status == 0, "\(inSwift.errorText)")
                #expect(inSwift.text == "swift: all well\nswift: all well\n")

                #expect(TestFile.names(in: root).isEmpty, "a node's root was written to")
            }
        }

        /// A script's interpreter opens its script by a name under /proc, which is not there.
        @Test(.enabled(if: isRoot, "a root directory of its own needs root"))
        func aScriptInAnEmptyRootIsRefusedWithTheReason() throws {
            try Self.withEmptyRoot { cluster, _ in
                let script = TestFile.write(
                    "#!/bin/sh\necho no\n", to: "\(cluster.folder)/script", mode: 0o755)
                let outcome = try cluster.run("0-1", script)
                #expect(outcome.status == 255)
                #expect(outcome.text.isEmpty)
                for node in 0...1 {
                    #expect(
                        outcome.errorText.contains("node \(node)"), "\(outcome.errorText)")
                }
                #expect(outcome.errorText.contains("a script needs /proc on the node"))
                #expect(try cluster.run("0-1", "true").status == 0)
            }
        }

        private static func withEmptyRoot(
            _ body: (TestCluster, String) throws -> Void
        ) throws {
            let root = TestFolder.make("root")
            defer { TestFile.removeFolder(root) }
            let shape = TestCluster.Shape(nodeCount: 2, slaves: ["--root", root])
            try TestCluster.with(shape) { try body($0, root) }
        }

        // MARK: No ring

        /// A real filter, not an option: every io_uring_setup of every daemon fails as it does in
        /// a container.
        @Test func sixtyFourNodesWhereTheRingIsForbidden() throws {
            let programs = Programs()
            defer { programs.remove() }
            let filter = try programs.compile("ringless.c", with: "/usr/bin/cc", ["-O1"])
            let shape = TestCluster.Shape(nodeCount: 64, wrapper: [filter])
            try TestCluster.with(shape) { cluster in
                #expect(cluster.masterLog.contains("back end: epoll"), "\(cluster.masterLog)")
                for node in [0, 63] {
                    #expect(cluster.slaveLog(node).contains("back end: epoll"), "node \(node)")
                }
                try Basics.basics(of: cluster)
                let launch = try RelayFaults.launch(on: cluster, fanOut: 2)
                #expect(launch.verified == 64, "\(launch.outcome.errorText)")
            }
        }

        @Test func theRingIsUsedWhereItWorks() throws {
            let programs = Programs()
            defer { programs.remove() }
            let probe = try programs.compile("ringprobe.c", with: "/usr/bin/cc", ["-O1"])
            let answer = try Conversation(probe, [], environment: [:], input: [])
                .finish(seconds: 20)
            try TestCluster.with(nodes: 2) { cluster in
                let backEnd = answer.status == 0 ? "back end: io_uring" : "back end: epoll"
                for log in [cluster.masterLog, cluster.slaveLog(0), cluster.slaveLog(1)] {
                    #expect(log.contains(backEnd), "\(log)")
                }
            }
        }

        @Test func withoutTheRingByOption() throws {
            let shape = TestCluster.Shape(
                nodeCount: 4, master: ["--no-io-uring"], slaves: ["--no-io-uring"])
            try TestCluster.with(shape) { cluster in
                #expect(cluster.masterLog.contains("back end: epoll"))
                let launch = try RelayFaults.launch(on: cluster, fanOut: 1)
                #expect(launch.verified == 4, "\(launch.outcome.errorText)")
            }
        }

        // MARK: No privilege

        /// One of two slaves cannot become another user: it refuses root's processes, and says why;
        /// it runs its own user's.
        @Test(.enabled(if: isRoot, "starting a slave as another user needs root"))
        func aSlaveThatCannotChangeTheUser() throws {
            let wrapper = [
                "/usr/bin/setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
            ]
            var shape = TestCluster.Shape(nodeCount: 2)
            shape.slaveWrapper[1] = wrapper
            try TestCluster.with(shape) { cluster in
                let outcome = try cluster.run("0-1", "echo", "here")
                #expect(outcome.status == 255)
                #expect(outcome.text == "here\n")
                #expect(outcome.errorText.contains("node 1"), "\(outcome.errorText)")
                #expect(
                    outcome.errorText.contains("Operation not permitted"),
                    "\(outcome.errorText)")
                #expect(
                    cluster.masterLog.contains("node 1, rank 1: spawn"), "\(outcome.errorText)")

                let own = try cluster.command(
                    wrapper[0],
                    wrapper.dropFirst() + ["\(TestCluster.build)/bpsh", "0-1", "id", "-u"])
                #expect(own.status == 0, "\(own.errorText)")
                #expect(own.text == "65534\n65534\n")
            }
        }

        @Test(.enabled(if: isRoot, "launching as another user needs root"))
        func processesRunAsTheirCaller() throws {
            try TestCluster.with(nodes: 2) { cluster in
                let outcome = try cluster.command(
                    "/usr/bin/setpriv",
                    [
                        "--reuid", "4711", "--regid", "4712", "--groups", "4713,4714",
                        "\(TestCluster.build)/bpsh", "0-1", "sh", "-c", "id -u; id -g; id -G",
                    ])
                #expect(outcome.status == 0, "\(outcome.errorText)")
                let lines = outcome.sortedLines
                #expect(lines.filter { $0 == "4711" }.count == 2, "\(lines)")
                #expect(lines.filter { $0 == "4712" }.count == 2, "\(lines)")
                #expect(lines.filter { $0.hasPrefix("4712 4713 4714") }.count == 2, "\(lines)")
            }
        }
    }
}

/// Programs of Tests/Programs, compiled for one test.
struct Programs {
    let folder = TestFolder.make("programs")

    func remove() { TestFile.removeFolder(folder) }

    /// `source` lies in Tests/Programs, or elsewhere in the package if it is a path.
    func compile(
        _ source: String, with compiler: String, _ options: [String], libraries: [String] = []
    ) throws -> String {
        let path =
            Package.root + "/" + (source.contains("/") ? source : "Tests/Programs/\(source)")
        let name = source.split(separator: "/").last ?? ""
        let output = "\(folder)/" + name.split(separator: ".").joined(separator: "-")
        try run(compiler, options + ["-o", output, path] + libraries)
        return output
    }

    private func run(_ program: String, _ arguments: [String]) throws {
        let environment = ["PATH": "/usr/bin:/bin", "HOME": folder, "TMPDIR": folder]
        let outcome = try Conversation(
            program, arguments, environment: environment, input: []
        ).finish(seconds: 240)
        try #require(outcome.status == 0, "\(arguments): \(outcome.errorText)")
    }

    /// A C program that calls libbproc, with the library of this package's sources.
    func compileCaller(_ source: String, _ options: [String] = ["-O2", "-Wall"]) throws -> String {
        let includes = ["CBProc", "CLocalProtocol"].map {
            "-I\(Package.root)/Sources/\($0)/include"
        }
        return try compile(
            source, with: "/usr/bin/cc", options + includes,
            libraries: [try library(), "-pthread"])
    }

    /// libbproc.a of this package's sources.
    func library() throws -> String {
        let place = "\(folder)/library"
        try run(
            "/usr/bin/make",
            ["--silent", "-C", Package.root, "LIBRARY=\(place)", "\(place)/libbproc.a"])
        return "\(place)/libbproc.a"
    }

    /// With the compiler of this very build's toolchain, where it is found.
    func compileSwift(
        _ name: String, _ options: [String] = [], libraries: [String] = []
    ) throws -> String {
        let path = getenv("PATH").map { String(cString: $0) } ?? ""
        let places =
            path.split(separator: ":").map { "\($0)/swiftc" } + ["/opt/swift/usr/bin/swiftc"]
        let compiler = try #require(places.first { access($0, X_OK) == 0 }, "no swiftc")
        return try compile(name, with: compiler, options, libraries: libraries)
    }
}
