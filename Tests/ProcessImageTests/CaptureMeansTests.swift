import CRestore
import Glibc
import ProcessImage
import Testing

/// The same image by every means that the kernel may or may not offer, for every CPU level, and of
/// programs that are hard to carry.
@Suite struct CaptureMeansTests {
    private func run(
        _ command: String, environment: [String], level: CPULevel? = nil,
        means: CaptureMeans = CaptureMeans(), name: String
    ) throws -> (output: String, status: Int32, image: ImageBytes) {
        let captured = try ProgramCapture.image(
            command: command, arguments: [Array(command.utf8)],
            environment: environment.map { Array($0.utf8) }, level: level, means: means)
        let bytes = Workshop.bytes(of: captured.descriptor.number)
        let outcome = Workshop.run([Workshop.write(bytes, to: name, mode: 0o755)])
        return (outcome.output, outcome.status, ImageBytes(bytes: bytes))
    }

    /// An int3 in the code instead of a debug register leaves no trace in the image.
    @Test func withoutDebugRegisters() throws {
        let program = try #require(Programs.insideDynamic)
        let path = Workshop.folder + "/int3.image"
        for options in [["--no-debug-registers"], ["--no-debug-registers", "--no-page-scan"]] {
            let captured = Workshop.run(
                [Workshop.tool, "capture"] + options + [path, program, "one", "two words", ""])
            #expect(captured.status == 0, "\(captured)")
            let outcome = Workshop.run([path])
            #expect(outcome.output == "inside: all well\n")
            #expect(outcome.status == 42)
        }
    }

    /// 2000 mappings, a terabyte of reserved memory, hidden pages, pages that were only read: all
    /// of it comes along, in an image of a few megabytes.
    @Test(
        .enabled(if: Programs.mappings != nil, "no C compiler on PATH"), arguments: [true, false],
        [true, false])
    func memoryThatIsHardToCarry(usesPageScan: Bool, touches: Bool) throws {
        // The page map of a terabyte is two gigabytes to read where nothing scans it.
        if touches && !usesPageScan { return }
        var means = CaptureMeans()
        means.usesPageScan = usesPageScan
        let library = try #require(Programs.mappings)
        let result = try run(
            "/bin/true",
            environment: ["LD_PRELOAD=" + library] + (touches ? ["BPROC_TOUCH=1"] : []),
            means: means, name: "mappings-\(usesPageScan)-\(touches).image")
        #expect(result.output == "mappings well\n")
        #expect(result.status == 0)
        let header = try result.image.parse()
        #expect(header.regions.count > 2000)
        #expect(header.memoryByteCount > 1 << 40)
        // The 2000 pages, the C library and the tables.
        #expect(header.totalByteCount < 16 << 20)
    }

    @Test(arguments: CPULevel.allCases) func aLevelIsAllThatAnImageNeeds(level: CPULevel) throws {
        let program = try #require(Programs.choice)
        let plain = try run(program, environment: ["A=b"], name: "choice-plain.image")
        let leveled = try run(
            program, environment: ["A=b"], level: level, name: "choice-\(level.rawValue).image")
        #expect(leveled.output.contains("tunables none\nvariables 2\n"))
        let needed = try leveled.image.parse().neededFeatures
        let allNeeded = try plain.image.parse().neededFeatures
        #expect(needed.subtracting(allNeeded).isEmpty)
        let names = Set(needed.names)
        #expect(level >= .v3 || names.isDisjoint(with: ["avx", "avx2", "fma"]))
        #expect(level >= .v4 || names.isDisjoint(with: ["avx512f", "avx512vl"]))
        #expect(level >= .v2 || names.isSubset(of: ["xsave", "osxsave"]))
        // The C library has chosen as it does where it is told so in the open.
        let native = Workshop.run(
            [program],
            environment: ["GLIBC_TUNABLES=glibc.cpu.hwcaps=\(level.hardwareCapabilities)"])
        #expect(native.output.split(separator: "\n")[0] == leveled.output.split(separator: "\n")[0])
        guard level <= .v2, allNeeded.names.contains("avx2") else { return }
        #expect(plain.output.split(separator: "\n")[0] != leveled.output.split(separator: "\n")[0])
    }

    @Test func tunablesOfTheUserStay() throws {
        let program = try #require(Programs.choice)
        let result = try run(
            program, environment: ["GLIBC_TUNABLES=glibc.malloc.check=0", "A=b"], level: .v2,
            name: "choice-tunables.image")
        #expect(result.output.contains("tunables glibc.malloc.check=0\nvariables 3\n"))
    }
}
