import ArgumentParser
import BProc
import Glibc

/// The options about the three standard streams of the ranks.
struct StreamOptions: ParsableArguments {
    @Flag(name: [.customShort("n"), .long], help: "Standard input of the program is /dev/null.")
    var nullInput = false
    @Flag(
        name: [.customShort("N"), .long],
        help: "No forwarding: what no file is named for is /dev/null.")
    var noForwarding = false
    @Flag(name: [.customShort("L"), .long], help: "Write whole lines only.")
    var lineBuffered = false
    @Flag(name: .shortAndLong, help: "Write the node's number before each line.")
    var prefix = false
    @Flag(
        name: [.customShort("s"), .customLong("sequential")],
        help: "All output of a rank, then all of the next.")
    var inTurns = false
    @Flag(
        name: [.customShort("d"), .customLong("divider")],
        help: "A line with the node's number before the output of each; implies -s.")
    var divides = false
    @Option(
        name: [.customShort("b", allowingJoined: true), .customLong("buffer")],
        help: ArgumentHelp(
            "Bytes of input that are read at once, and the longest line of -L and -p.",
            valueName: "bytes"))
    var buffer: Int?
    @Option(
        name: [.customShort("I", allowingJoined: true), .customLong("stdin")],
        help: ArgumentHelp("Standard input is a file of the node.", valueName: "file"))
    var inputFile: String?
    @Option(
        name: [.customShort("O", allowingJoined: true), .customLong("stdout")],
        help: ArgumentHelp("Standard output goes to a file of the node.", valueName: "file"))
    var outputFile: String?
    @Option(
        name: [.customShort("E", allowingJoined: true), .customLong("stderr")],
        help: ArgumentHelp("Standard error goes to a file of the node.", valueName: "file"))
    var errorFile: String?

    /// The longest name of a file that a rank can be given.
    private static let nameByteLimit = 255
    private static let bufferLimit = 1 << 30

    func validate() throws {
        if let buffer, !(1...Self.bufferLimit).contains(buffer) {
            throw ValidationError("-b: a number from 1 to \(Self.bufferLimit)")
        }
        for name in [inputFile, outputFile, errorFile] {
            guard let name else { continue }
            guard (1...Self.nameByteLimit).contains(name.utf8.count) else {
                throw ValidationError(
                    "a file on a node has a name of 1 to \(Self.nameByteLimit) bytes")
            }
        }
        if inputFile != nil && nullInput { throw ValidationError("-n and -I exclude each other") }
    }

    func set(_ options: inout LaunchOptions) {
        func output(_ number: Int32, _ path: String?) -> RankDescriptor? {
            let file = path.map {
                RankDescriptor(
                    number, path: $0, openFlags: O_WRONLY | O_CREAT | O_TRUNC, mode: 0o666)
            }
            return file
                ?? (noForwarding
                    ? RankDescriptor(number, path: "/dev/null", openFlags: O_WRONLY) : nil)
        }
        let inputPath = inputFile ?? (noForwarding ? "/dev/null" : nil)
        let input = inputPath.map { RankDescriptor(0, path: $0, openFlags: O_RDONLY) }
        let files = [input, output(1, outputFile), output(2, errorFile)].compactMap { $0 }
        options.inputIsNull = !forwardsInput
        guard !files.isEmpty else { return }
        options.io = files
        options.forwardsRest = !noForwarding
    }

    private var forwardsInput: Bool { !nullInput && !noForwarding && inputFile == nil }

    var settings: ShellSession.Settings {
        var settings = ShellSession.Settings()
        settings.forwardsInput = forwardsInput
        settings.wholeLines = lineBuffered || prefix
        settings.prefixesLines = prefix
        settings.inTurns = inTurns || divides
        settings.dividesRanks = divides
        if let buffer {
            settings.inputPieceByteCount = buffer
            settings.lineByteLimit = buffer
        }
        return settings
    }
}
