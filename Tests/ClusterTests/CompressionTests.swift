import CBProc
import Glibc
import ImageSamples
import Testing

extension ClusterTests {
    /// Images that travel packed, between real daemons.
    @Suite(.serialized) struct Compression {
        /// What the master says of its last launch.
        private static func sentence(_ cluster: TestCluster) -> String {
            let line = cluster.masterLog.split(separator: "\n").last { $0.contains(": placed ") }
            return String(line ?? "")
        }

        private static func bench(
            _ cluster: TestCluster, _ options: [String], _ command: [String]
        ) throws -> RelayFaults.Launch {
            let outcome = try cluster.command(
                "bpcluster", ["bench", "--dir", cluster.folder] + options + command)
            return RelayFaults.Launch(outcome, log: cluster.masterLog)
        }

        @Test func aShellRunsPackedAndAsItIs() throws {
            try TestCluster.with(nodes: 16) { cluster in
                for (mode, words) in [
                    ("always", "packed to"), ("never", "as they are"), ("auto", "as they are"),
                ] {
                    let outcome = try cluster.run(
                        "--compression", mode, "0-15", "bash", "-c",
                        "x=$(printf %1000s); echo ${#x}")
                    #expect(outcome.status == 0, "\(mode): \(outcome.errorText)")
                    #expect(outcome.text == String(repeating: "1000\n", count: 16), "\(mode)")
                    #expect(Self.sentence(cluster).contains(words), "\(Self.sentence(cluster))")
                }
                let wrong = try cluster.run("--compression", "zip", "0", "true")
                #expect(wrong.status == 64 && wrong.errorText.contains("--compression"))
            }
        }

        /// 4 MiB that LZ4 cannot shrink, checked by the program itself.
        @Test(arguments: ["always", "never", "auto"])
        func noiseArrivesWhole(mode: String) throws {
            try TestCluster.with(nodes: 16) { cluster in
                for chunk in [16384, 65536, 1 << 20] {
                    let launch = try Self.bench(
                        cluster, ["--compression", mode, "--chunk", "\(chunk)"],
                        [Workload.program])
                    #expect(launch.verified == 16, "\(launch.outcome.errorText)")
                    #expect(launch.failed == 0)
                    #expect(launch.receivedChunkCount == launch.chunkCount)
                    let isPacked = Self.sentence(cluster).contains("packed to 9")
                    #expect(isPacked == (mode == "always"), "\(Self.sentence(cluster))")
                }
            }
        }

        /// More than a slave keeps ready, and memory that is used again and again.
        @Test(arguments: ["0", "1048576", "16777216"])
        func withAnyArena(byteCount: String) throws {
            let shape = TestCluster.Shape(nodeCount: 4, slaves: ["--arena", byteCount])
            try TestCluster.with(shape) { cluster in
                for mode in ["always", "never", "always"] {
                    let launch = try Self.bench(
                        cluster, ["--count", "3", "--compression", mode], [Workload.program])
                    #expect(launch.outcome.status == 0, "\(launch.outcome.errorText)")
                }
            }
        }

        @Test func launchesOverlap() throws {
            try TestCluster.with(nodes: 16) { cluster in
                let launch = try Self.bench(
                    cluster, ["--mode", "overlap", "--count", "3", "--compression", "always"],
                    [Workload.program])
                #expect(launch.outcome.status == 0, "\(launch.outcome.errorText)")
                let packed = try cluster.startJob(
                    "--compression", "always", "0-15", "sh", "-c", "echo up; cat", lineCount: 16)
                let plain = try cluster.run("--compression", "never", "0-15", "echo", "second")
                #expect(plain.text == String(repeating: "second\n", count: 16))
                let outcome = packed.finish(seconds: TestCluster.patience)
                #expect(outcome.status == 0 && !outcome.isOverdue, "\(outcome.errorText)")
            }
        }

        /// The chunks that its children hold already are not sent again.
        @Test(arguments: [0, 2, 9], [1, 2]) func deathOfARelay(chunk: Int, fanOut: Int) throws {
            let shape = TestCluster.Shape(
                nodeCount: 12, slave: [1: ["--fault", "die-after-chunk:\(chunk)"]])
            try TestCluster.with(shape) { cluster in
                let launch = try Self.bench(
                    cluster,
                    [
                        "--compression", "always", "--chunk", "262144", "--fan-out",
                        "\(fanOut)",
                    ], [Workload.program])
                #expect(launch.verified == 11, "\(launch.outcome.errorText)")
                #expect(launch.failed == 1)
                #expect(launch.receivedChunkCount <= launch.chunkCount + 1)
            }
        }

        // MARK: Damage

        @Test func aFlippedByteNamesItsBlock() throws {
            try TestCluster.with(nodes: 4) { cluster in
                var packed = try PackedJob.capture(on: cluster)
                let range = try packed.parse().fileRange(ofBlock: 7)
                packed.bytes[range.lowerBound + 100] ^= 4
                let job = try PackedJob(packed, on: cluster, nodes: [0, 1, 2, 3])
                #expect(
                    job.end.contains("checksum of block 7 at byte \(range.lowerBound)"),
                    "\(job.end)")
                #expect(try cluster.run("0-3", "echo", "well").status == 0)
            }
        }

        /// Of an image that travels as it is the master looks at header and tables alone; whoever
        /// receives the data checks it.
        @Test func aDamagedImageThatIsNotPacked() throws {
            try TestCluster.with(nodes: 4) { cluster in
                var image = try PackedJob.unpack(try PackedJob.capture(on: cluster))
                image[image.count - 5000] ^= 1
                try Self.expectFailures(
                    PackedBytes(image), "image is damaged: checksum of block", on: cluster)
                image[300] ^= 1
                let job = try PackedJob(PackedBytes(image), on: cluster, nodes: [0, 1, 2, 3])
                #expect(job.failures.isEmpty)
                #expect(job.end.contains("image is damaged"), "\(job.end)")
            }
        }

        /// Checksums are right, so only who unpacks can know: each node says so, for itself.
        @Test(arguments: ["first", "last"]) func aSegmentThatDoesNotUnpack(which: String) throws {
            try TestCluster.with(nodes: 4) { cluster in
                var packed = try PackedJob.capture(on: cluster)
                let header = try packed.parse()
                let segment = which == "first" ? 0 : header.segmentCount - 1
                for place in header.fileRange(ofSegment: segment) { packed.bytes[place] = 0xff }
                packed.repair()
                try Self.expectFailures(packed, "segment \(segment) at byte", on: cluster)
            }
        }

        @Test func whatUnpacksToADamagedImage() throws {
            try TestCluster.with(nodes: 4) { cluster in
                let packed = try PackedJob.capture(on: cluster)
                var image = try PackedJob.unpack(packed)
                image[image.count - 5000] ^= 1
                try Self.expectFailures(
                    try PackedBytes(packing: image), "image is damaged: checksum of block",
                    on: cluster)
                try Self.expectFailures(
                    try PackedBytes(packing: [UInt8](repeating: 7, count: 300_000)),
                    "not a process image", on: cluster)
            }
        }

        private static func expectFailures(
            _ packed: PackedBytes, _ sentence: String, on cluster: TestCluster
        ) throws {
            let job = try PackedJob(packed, on: cluster, nodes: [0, 1, 2, 3])
            #expect(job.failures.count == 4, "\(job.end)")
            for failure in job.failures {
                #expect(failure.hasPrefix("receive: "), "\(failure)")
                #expect(failure.contains(sentence), "\(failure)")
            }
            #expect(cluster.upNodes() == [0, 1, 2, 3])
            #expect(try cluster.run("0-3", "echo", "well").status == 0)
        }

        @Test func sizesBeyondAllBoundsAreRefusedBeforeAnyNodeHears() throws {
            try TestCluster.with(nodes: 1) { cluster in
                for size: UInt64 in [1 << 60, .max, 0, 1 << 36] {
                    var packed = try PackedJob.capture(on: cluster)
                    packed.store(size, at: 16)
                    packed.repair()
                    let job = try PackedJob(packed, on: cluster, nodes: [0])
                    #expect(job.end.contains("packed image is damaged"), "\(job.end)")
                }
                var short = try PackedJob.capture(on: cluster)
                short.bytes.removeLast(5)
                let job = try PackedJob(short, on: cluster, nodes: [0])
                #expect(job.end.contains("cut short"), "\(job.end)")
                #expect(try cluster.run("0", "echo", "well").status == 0)
            }
        }
    }
}
