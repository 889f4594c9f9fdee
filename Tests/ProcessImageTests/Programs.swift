import Glibc

/// The programs of Tests/Programs, each compiled once and only if a test wants it.
enum Programs {
    private static func source(_ name: String) -> String { Workshop.sources + "/" + name }

    static let insideDynamic = Workshop.compile(
        "inside-dynamic", ["cc", "-O1", source("inside.c"), "-lm", "-pthread"])
    static let insideStatic = Workshop.compile(
        "inside-static", ["cc", "-O1", "-static", source("inside.c"), "-lm", "-pthread"])
    static let insideStaticPIE = Workshop.compile(
        "inside-static-pie", ["cc", "-O1", "-static-pie", source("inside.c"), "-lm", "-pthread"])
    static let cPlusPlus = Workshop.compile(
        "inside-cc", ["c++", "-O1", source("inside.cc"), "-pthread"])
    static let cPlusPlusStatic = Workshop.compile(
        "inside-cc-static", ["c++", "-O1", "-static", source("inside.cc"), "-pthread"])
    static let swift = Workshop.compile("inside-swift", ["swiftc", "-O", source("inside.swift")])
    static let swiftStatic = Workshop.compile(
        "inside-swift-static", ["swiftc", "-O", "-static-executable", source("inside.swift")])
    static let waits = Workshop.compile(
        "libwaits.so", ["cc", "-shared", "-fPIC", source("waits.c")])
    static let threads = Workshop.compile(
        "libthreads.so", ["cc", "-shared", "-fPIC", source("threads.c"), "-pthread"])

    static let forks = Workshop.compile(
        "libforks.so", ["cc", "-shared", "-fPIC", source("forks.c")])

    static let clocks = Workshop.compile("clocks", ["cc", "-O1", source("clocks.c")])
    static let clocksStatic = Workshop.compile(
        "clocks-static", ["cc", "-O1", "-static", source("clocks.c")])
    static let noVdso = Workshop.compile("novdso", ["cc", "-O1", source("novdso.c")])

    static let choice = Workshop.compile("choice", ["cc", "-O1", source("choice.c")])
    static let mappings = Workshop.compile(
        "libmappings.so", ["cc", "-O1", "-shared", "-fPIC", source("mappings.c")])

    /// A program of the library's callers, with the library inside.
    static let dumps: String? = {
        let root = Workshop.sources + "/../.."
        let place = Workshop.folder + "/library"
        let library = place + "/libbproc.a"
        guard let make = Workshop.find("make") else { return nil }
        let outcome = Workshop.run([make, "--silent", "-C", root, "LIBRARY=" + place, library])
        precondition(outcome.status == 0, outcome.output)
        return Workshop.compile(
            "dumps",
            ["cc", "-O1", "-std=gnu11", source("dumps.c"), library]
                + ["CBProc", "CLocalProtocol"].flatMap { ["-I", root + "/Sources/\($0)/include"] }
                + ["-pthread"])
    }()

    /// A static program with 1 MiB of incompressible data, and the argument that its data must
    /// match.
    static let data: (path: String, hash: String)? = {
        var generator = SystemRandomNumberGenerator()
        let bytes = (0..<(1 << 17)).flatMap { _ in
            withUnsafeBytes(of: generator.next() as UInt64) { Array($0) }
        }
        let file = Workshop.write(bytes, to: "random.bin")
        let hash = bytes.reduce(14_695_981_039_346_656_037 as UInt64) {
            ($0 ^ UInt64($1)) &* 1_099_511_628_211
        }
        let path = Workshop.compile(
            "data",
            [
                "cc", "-O2", "-static", "-DBP_DATA_FILE=\"\(file)\"", source("data.c"),
                source("data.S"),
            ])
        return path.map { ($0, String(hash, radix: 16)) }
    }()
}
