import Glibc
import Testing

extension ClusterTests {
    /// Programs that fork, move and dump themselves in the middle of their work, and check
    /// themselves before and after.
    @Suite(
        .serialized,
        .enabled(if: access("/usr/bin/cc", X_OK) == 0, "needs /usr/bin/cc"))
    struct Callers {
        /// The programs of one test, with the library of this build.
        private struct Kit {
            let programs = Programs()
            let library: String

            init() throws { library = try programs.library() }

            func compile(_ source: String, _ options: [String] = []) throws -> String {
                let compiler = source.hasSuffix(".cc") ? "/usr/bin/c++" : "/usr/bin/cc"
                return try programs.compile(
                    source, with: compiler, ["-O2", "-Wall", "-I", Self.include] + options,
                    libraries: [library, "-lm", "-pthread"])
            }

            func compileSwift(_ source: String, _ options: [String] = []) throws -> String {
                try programs.compileSwift(
                    source, ["-O", "-I", Self.include] + options, libraries: [library])
            }

            static let include = Package.root + "/Sources/CBProc/include"
        }

        private static func with(
            nodes: Int, _ body: (TestCluster, Kit) throws -> Void
        ) throws {
            let kit = try Kit()
            defer { kit.programs.remove() }
            try TestCluster.with(nodes: nodes) { cluster in try body(cluster, kit) }
        }

        /// Both sides of a fork say that all is right.
        private static func expectBothRight(_ outcome: Subprocess.Outcome) {
            #expect(outcome.status == 0)
            #expect(outcome.sortedLines == ["child: right", "parent: right"])
        }

        @Test(arguments: [[String](), ["-static"], ["-static-pie"]])
        func aProgramGoesOnWhereItIsRestored(options: [String]) throws {
            try Self.with(nodes: 3) { cluster, kit in
                let caller = try kit.compile("caller.c", options)
                Self.expectBothRight(try cluster.command(caller, ["rfork", "1"]))
                let moved = try cluster.command(caller, ["move", "2"])
                #expect(moved.status == 33)
                #expect(moved.text == "moved: right\n")
                let file = cluster.folder + "/tmp/image"
                let dumper = try cluster.command(caller, ["dump", file])
                #expect(dumper.status == 0)
                #expect(dumper.text == "dumper: right\n")
                let image = try cluster.command(file, [])
                #expect(image.status == 0)
                #expect(image.text == "image: right\n")
            }
        }

        /// An image of an image of an image, each executed as a program; and many of one process.
        @Test func imagesDoNotGrow() throws {
            try Self.with(nodes: 1) { cluster, kit in
                let caller = try kit.compile("caller.c")
                let file = cluster.folder + "/tmp/image"
                let chain = try cluster.conversation(caller, ["chain", "300", file])
                    .finish(seconds: 5 * TestCluster.patience)
                #expect(chain.status == 0)
                #expect(chain.text == "chain: right\n")
                let sizes = try cluster.command(caller, ["sizes", "100"])
                #expect(sizes.status == 0)
                #expect(sizes.text == "sizes: right\n")
            }
        }

        @Test func manyAndLargeMappings() throws {
            try Self.with(nodes: 1) { cluster, kit in
                let caller = try kit.compile("caller.c")
                Self.expectBothRight(try cluster.command(caller, ["large", "0"]))
            }
        }

        /// A dump into a pipe: what came is a program.
        @Test func aDumpIntoAPipe() throws {
            try Self.with(nodes: 1) { cluster, kit in
                let caller = try kit.compile("caller.c")
                let outcome = try cluster.command(caller, ["dump", "/dev/stdout"])
                let word = Array("dumper: right\n".utf8)
                #expect(outcome.status == 0)
                #expect(outcome.output.suffix(word.count).elementsEqual(word))
                let file = cluster.folder + "/tmp/image"
                let descriptor = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0o700)
                let byteCount = outcome.output.count - word.count
                #expect(write(descriptor, outcome.output, byteCount) == byteCount)
                close(descriptor)
                #expect(try cluster.command(file, []).text == "image: right\n")
            }
        }

        @Test func aForkOnTheSameNode() throws {
            try Self.with(nodes: 1) { cluster, kit in
                let caller = try kit.compile("caller.c")
                let outcome = try cluster.command(caller, ["local", cluster.folder + "/tmp/io"])
                #expect(outcome.text == "local: right\n")
            }
        }

        @Test func exceptionsPassThroughTheFrameOfTheCall() throws {
            try Self.with(nodes: 2) { cluster, kit in
                for options in [[String](), ["-static"]] {
                    let caller = try kit.compile("caller.cc", options)
                    Self.expectBothRight(try cluster.command(caller, ["1"]))
                }
            }
        }

        @Test func aSwiftProgram() throws {
            try Self.with(nodes: 2) { cluster, kit in
                for options in [[String](), ["-static-stdlib"]] {
                    let caller = try kit.compileSwift("caller.swift", options)
                    Self.expectBothRight(try cluster.command(caller, ["1"]))
                }
            }
        }

        @Test func oneImageForManyNodes() throws {
            try Self.with(nodes: 16) { cluster, kit in
                let example = try kit.compile("examples/vrfork.c")
                let outcome = try cluster.command(example, [])
                #expect(outcome.status == 0, "\(outcome.errorText)")
                let lines = outcome.text.split(separator: "\n")
                #expect(lines.count == 17)
                #expect(Set(lines.dropLast().map { $0.prefix { $0 != ":" } }).count == 16)
                #expect(lines.last == "26860 twin primes below 4000000")
            }
        }

        @Test func whatIsRefusedLeavesNoTrace() throws {
            try Self.with(nodes: 3) { cluster, kit in
                let refusals = try kit.compile("refusals.c")
                cluster.slaves[2]?.end()
                try cluster.waitUntilUp([0, 1])
                let outcome = try cluster.command(refusals, ["cluster"])
                #expect(outcome.status == 0)
                #expect(outcome.text == "refusals: right\n")
                cluster.master?.end()
                // The kernel closes the socket of a ring a moment after its process has ended.
                try cluster.expect("a socket without a daemon") {
                    (try? cluster.command("bpstat", []))?.errorText.contains("no daemon") == true
                }
                let alone = try cluster.command(refusals, ["alone"])
                #expect(alone.status == 0)
                #expect(alone.text == "refusals: right\n")
            }
        }

        /// Memory for the whole image is found before its first byte travels.
        @Test func aProcessThatIsTooLargeForANode() throws {
            let kit = try Kit()
            defer { kit.programs.remove() }
            let shape = TestCluster.Shape(
                nodeCount: 2, slave: [1: ["--arena", "1048576", "--image-memory", "16777216"]])
            try TestCluster.with(shape) { cluster in
                let caller = try kit.compile("caller.c")
                let big = try cluster.command(caller, ["big", "1", "64"])
                #expect(big.text == "big: right\n")
                let launches = cluster.masterLog.split(separator: "\n").filter {
                    $0.contains("placed 0/1")
                }
                #expect(launches.count == 2)
                #expect(launches.allSatisfy { $0.contains("at most 0 of ") }, "\(launches)")
                Self.expectBothRight(try cluster.command(caller, ["rfork", "1"]))
            }
        }

        /// Nobody is left whom no caller knows: neither the children that run already, nor those
        /// whose node answers only after the caller's end.
        @Test func theEndOfACallerInTheMiddleOfAFork() throws {
            try Self.with(nodes: 2) { cluster, kit in
                let caller = try kit.compile("caller.c")
                cluster.slaves[1]?.signal(SIGSTOP)
                let job = try cluster.conversation(caller, ["family"], input: nil)
                try cluster.expect("the children on the first node") {
                    cluster.processes(on: 0).count == 8
                }
                job.process.signal(SIGKILL)
                #expect(job.finish(seconds: TestCluster.patience).text == "")
                cluster.slaves[1]?.signal(SIGCONT)
                try cluster.waitUntilUp([0, 1])
                try cluster.expect("the end of the children") {
                    (0..<2).allSatisfy { cluster.processes(on: $0).isEmpty }
                }
                Self.expectBothRight(try cluster.command(caller, ["rfork", "1"]))
            }
        }

        /// Without a limit on the stack the kernel lays memory out from below.
        @Test func aStackWithoutALimit() throws {
            try Self.with(nodes: 2) { cluster, kit in
                let caller = try kit.compile("caller.c")
                let words = "ulimit -Ss unlimited && exec \(caller)"
                Self.expectBothRight(try cluster.command("/bin/sh", ["-c", words + " rfork 1"]))
                let moved = try cluster.command("/bin/sh", ["-c", words + " move 0"])
                #expect(moved.text == "moved: right\n")
            }
        }

        // MARK: From nodes

        private static func expectJourneys(_ cluster: TestCluster, _ caller: String) throws {
            try cluster.startFrontEnd()
            let journey = try cluster.command(caller, ["journey", "0", "1", "2", "3", "4", "-1"])
            #expect(journey.status == 0)
            #expect(journey.text == "journey: right\n")
            let onward = try cluster.run("3", caller, "journey", "1", "4", "-1", "3")
            #expect(onward.text == "journey: right\n", "\(onward.errorText)")
            expectBothRight(try cluster.run("2", caller, "rfork", "1"))
        }

        @Test func processesMoveFromNodeToNode() throws {
            try Self.with(nodes: 5) { cluster, kit in
                try Self.expectJourneys(cluster, try kit.compile("caller.c"))
            }
        }

        /// The Swift example, as it is built with the package.
        @Test func aSwiftProgramTravels() throws {
            try TestCluster.with(nodes: 4) { cluster in
                try cluster.startFrontEnd()
                let outcome = try cluster.command("journey", [])
                #expect(outcome.status == 0)
                let lines = outcome.text.split(separator: "\n")
                #expect(lines.last == "4 nodes seen", "\(outcome.text)")
                let nodes = lines.dropLast().map { $0.split(separator: " ")[2] }
                #expect(nodes == ["0", "1", "2", "3"])
            }
        }

        /// No /proc, no files: the slave lends what the capture has to see.
        @Test(.enabled(if: geteuid() == 0, "a root directory of its own needs root"))
        func processesMoveWhereThereIsNothing() throws {
            let kit = try Kit()
            defer { kit.programs.remove() }
            let root = TestFolder.make("root")
            defer { TestFile.removeFolder(root) }
            let shape = TestCluster.Shape(nodeCount: 5, slaves: ["--root", root])
            try TestCluster.with(shape) { cluster in
                try Self.expectJourneys(cluster, try kit.compile("caller.c"))
                #expect(TestFile.names(in: root).isEmpty)
            }
        }

        // MARK: The stand-in

        private static func moved(_ cluster: TestCluster, _ kit: Kit) throws -> Conversation {
            let caller = try kit.compile("caller.c")
            let job = try cluster.conversation(caller, ["wait", "0"], input: nil)
            let isThere = job.serve(seconds: TestCluster.patience) {
                job.text == "moved\n" || job.process.poll() != nil
            }
            guard isThere, job.process.status == nil else {
                throw TestCluster.Failure(description: "it did not move: \(job.text)")
            }
            return job
        }

        /// Signals reach the process where it is, and its end shows where it was.
        @Test(arguments: [(SIGUSR2, Int32(21)), (SIGTERM, 128 + SIGTERM), (SIGINT, 128 + SIGINT)])
        func aStandInEndsAsTheProcess(signal: Int32, status: Int32) throws {
            try Self.with(nodes: 1) { cluster, kit in
                let job = try Self.moved(cluster, kit)
                #expect(cluster.processes(on: 0).count == 1)
                job.process.signal(signal)
                let outcome = job.finish(seconds: TestCluster.patience)
                #expect(!outcome.isOverdue)
                #expect(outcome.status == status)
                try cluster.expect("the end of the process") { cluster.processes(on: 0).isEmpty }
            }
        }

        /// One stand-in is left, on the front end, and it has given its memory back.
        @Test func aHundredMovesInARow() throws {
            try Self.with(nodes: 2) { cluster, kit in
                let caller = try kit.compile("caller.c")
                let job = try cluster.conversation(caller, ["moves", "100"], input: nil)
                func travellers() -> [RunningProcess] {
                    (0..<2).flatMap { cluster.processes(on: $0) }
                }
                try cluster.expect("the last stop") {
                    if job.process.poll() != nil { return true }
                    let log = cluster.masterLog.split(separator: "\n")
                    return log.count { $0.contains(": placed 1/1 in ") } == 100
                        && travellers().count == 1
                }
                #expect(job.process.status == nil)
                #expect(RunningProcess(job.process.pid)?.residentKilobytes ?? .max <= 64)
                job.process.signal(SIGUSR2)
                #expect(job.finish(seconds: TestCluster.patience).status == 21)
                try cluster.expect("the end of the process") { travellers().isEmpty }
            }
        }

        /// What a process writes comes from all its stops, in order.
        @Test func outputOfAllStops() throws {
            try Self.with(nodes: 2) { cluster, kit in
                let caller = try kit.compile("caller.c")
                let outcome = try cluster.command(caller, ["output", "40000"])
                #expect(outcome.status == 9)
                let expected = (0..<40000).map { "line \($0) of 40000\n" }.joined()
                #expect(outcome.text == expected)
            }
        }

        @Test func theEndOfAStandInEndsTheProcess() throws {
            try Self.with(nodes: 1) { cluster, kit in
                let job = try Self.moved(cluster, kit)
                job.process.signal(SIGKILL)
                #expect(job.finish(seconds: TestCluster.patience).status == 128 + SIGKILL)
                try cluster.expect("the end of the process") { cluster.processes(on: 0).isEmpty }
            }
        }

        @Test func theEndOfTheNodeEndsTheStandIn() throws {
            try Self.with(nodes: 1) { cluster, kit in
                let job = try Self.moved(cluster, kit)
                cluster.slaves[0]?.end()
                let outcome = job.finish(seconds: TestCluster.patience)
                #expect(!outcome.isOverdue)
                #expect(outcome.status == 128 + SIGKILL, "\(outcome.errorText)")
            }
        }
    }
}
