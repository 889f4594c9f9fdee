import Glibc
import Testing

/// libbproc as `make install` leaves it, in a folder of its own, and the compilers of its users.
struct InstalledLibrary {
    let folder: String

    struct Failure: Error, CustomStringConvertible { var description: String }

    static let hasTools = ["make", "cc", "c++", "nm", "ar", "install"].allSatisfy {
        access("/usr/bin/\($0)", X_OK) == 0
    }

    var prefix: String { "\(folder)/usr" }

    /// Builds and installs the library, runs the body, and removes it all.
    static func with(_ body: (InstalledLibrary) throws -> Void) throws {
        let library = InstalledLibrary(folder: TestFolder.make("library"))
        defer { TestFile.removeFolder(library.folder) }
        try library.run(
            "/usr/bin/make", "-C", Package.root, "library", "install-library",
            "LIBRARY=\(library.folder)/out", "PREFIX=\(library.prefix)")
        try body(library)
    }

    /// Runs a tool; answers its standard output.
    @discardableResult
    func run(_ program: String, _ arguments: String...) throws -> String {
        let outcome = try outcome(of: program, arguments)
        guard outcome.status == 0 else {
            throw Failure(
                description: "\(program) \(arguments): \(outcome.text)\(outcome.errorText)")
        }
        return outcome.text
    }

    func outcome(
        of program: String, _ arguments: [String], socket: String = "/no/such/socket"
    ) throws -> Subprocess.Outcome {
        let environment = [
            "PATH": "/usr/bin:/bin", "LC_ALL": "C", "BPROC_SOCKET": socket,
            "PKG_CONFIG_PATH": "\(prefix)/lib/pkgconfig",
        ]
        return try Conversation(program, arguments, environment: environment, input: [])
            .finish(seconds: TestCluster.patience)
    }

    /// The two ways in which programs are built with the library.
    enum Build: CaseIterable {
        case sharedC, staticCPlusPlus

        fileprivate var compiler: String { self == .sharedC ? "/usr/bin/cc" : "/usr/bin/c++" }
        fileprivate var dialect: String { self == .sharedC ? "-std=c99 -x c" : "-std=c++11 -x c++" }
        fileprivate func linkage(_ prefix: String) -> String {
            self == .sharedC
                ? "-L\(prefix)/lib -Wl,-rpath,\(prefix)/lib -lbproc" : "\(prefix)/lib/libbproc.a"
        }
    }

    /// Compiles sources with every warning an error; answers the program's path.
    func compile(_ sources: String, as build: Build) throws -> String {
        let program = "\(folder)/program-\(build)"
        let command = """
            exec \(build.compiler) \(build.dialect) -pedantic -Wall -Wextra -Werror \
            -I\(prefix)/include -o \(program) \(sources) -x none \(build.linkage(prefix))
            """
        try run("/bin/sh", "-c", command)
        return program
    }
}

/// The recorded interface of the library: Tests/ClusterTests/libbproc.abi.
struct RecordedInterface {
    /// The words of each line, the first one being its kind.
    let lines: [Substring]

    init() {
        lines = TestFile.text("\(Package.root)/Tests/ClusterTests/libbproc.abi")
            .split(separator: "\n").filter { !$0.hasPrefix("#") }
    }

    /// Without the word "function".
    var prototypes: [Substring] {
        lines.filter { $0.hasPrefix("function ") }.map { $0.dropFirst("function ".count) }
    }

    var functions: [String] { prototypes.compactMap(Self.functionName) }

    /// Sizes, offsets and constants: all that a program can print.
    var numbers: [Substring] { lines.filter { !$0.hasPrefix("function ") } }

    /// The name before the parameters.
    static func functionName(_ text: Substring) -> String? {
        text.firstMatch(of: /(_?bproc_[a-z_]+)\(/).map { String($0.1) }
    }

    /// A program that declares every function again, as recorded, and prints every line of
    /// `numbers` with the numbers of the headers.
    var program: String {
        var text = """
            #include <stddef.h>
            #include <stdio.h>
            #include <sys/bproc.h>
            #include <sys/bproc_job.h>
            #ifdef __cplusplus
            extern "C" {
            #endif

            """
        for prototype in prototypes { text += "\(prototype);\n" }
        text += "#ifdef __cplusplus\n}\n#endif\nint main(void) {\n"
        for line in numbers {
            let words = line.split(separator: " ", maxSplits: 1)
            let subject = words[1].prefix(upTo: words[1].lastIndex(of: " ")!)
            let last = subject.split(separator: " ").last!
            let type = subject.prefix(upTo: subject.lastIndex(of: " ") ?? subject.startIndex)
            let (format, value) =
                switch words[0] {
                case "size": ("%lld", "(long long)sizeof(\(subject))")
                case "offset": ("%lld", "(long long)offsetof(\(type), \(last))")
                case "text": ("%s", "\(subject)")
                default: ("%lld", "(long long)(\(subject))")
                }
            text += "    printf(\"\(words[0]) \(subject) \(format)\\n\", \(value));\n"
        }
        return text + "    return 0;\n}\n"
    }
}
