import ArgumentParser
import BProc
import CommandSupport
import FileCopy
import Glibc
import System

/// Copies files between this machine and nodes.
struct CopyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bpcp",
        abstract: "Copy files to nodes, from nodes, and between them.",
        usage: "bpcp [options] source ... target",
        discussion: """
            A source is PATH or NODE:PATH, the target PATH or NODES:PATH, with nodes as for bpsh. \
            To several nodes the bytes go down the relay tree. A file appears under its name when \
            it is whole and its checksum is right on the node. The exit status is the number of \
            errors, at most 255. Examples:
              bpcp -p program 0-63:/usr/local/bin/
              bpcp -r 3:/var/log/app logs
              bpcp 0:/etc/hosts 1-7:/etc/hosts
            """,
        version: "bpcp (bproc) 0.1")

    @Flag(name: .shortAndLong, help: "Keep modes and times, whatever the umask is.")
    var preserve = false
    @Flag(name: .shortAndLong, help: "Copy directories with all that is in them.")
    var recursive = false
    @Flag(
        name: [.customShort("d"), .customLong("directory")],
        help: "The target has to be a directory.")
    var needsDirectory = false
    @Option(
        help: ArgumentHelp(
            "How much travels to the nodes at once.", valueName: "bytes"))
    var block = 7 << 20
    @Flag(name: .customShort("f", allowingJoined: false), help: .hidden)
    var isFrom = false
    @Flag(name: .customShort("t", allowingJoined: false), help: .hidden)
    var isTo = false
    @Flag(name: .customShort("v"), help: "Show the version.")
    var showsVersion = false
    @Argument(help: "Sources, and the target.")
    var paths: [String] = []

    private static let blockLimit = 1 << 30

    func validate() throws {
        if showsVersion { throw CleanExit.message(Self.configuration.version) }
        guard !isFrom && !isTo else {
            throw ValidationError("-f and -t are the other end of an original bpcp; there is none")
        }
        guard (4096...Self.blockLimit).contains(block) else {
            throw ValidationError("--block: 4096 to \(Self.blockLimit) bytes")
        }
        guard paths.count >= 2 else {
            throw ValidationError("A source and a target are needed.")
        }
    }

    func run() throws {
        do throws(CommandError) {
            let status = try copy()
            guard status == 0 else { throw CommandError("", exitStatus: status) }
        } catch {
            if !error.sentence.isEmpty {
                StandardOutput.report(error.sentence, command: "bpcp")
            }
            throw ArgumentParser.ExitCode(error.exitStatus)
        }
    }

    private func copy() throws(CommandError) -> Int32 {
        var table: [Cluster.Node]?
        func known() throws(CommandError) -> [Cluster.Node] {
            if let table { return table }
            do throws(BProcError) {
                let nodes = try Cluster().nodes()
                table = nodes
                return nodes
            } catch {
                throw CommandError(error.description)
            }
        }
        var locations: [CopyLocation] = []
        for text in paths { locations.append(try CopyLocation(text, known: known)) }
        let target = locations.removeLast()
        if let source = locations.first(where: { $0.nodes.count > 1 }) {
            throw CommandError("\(source.text): a source is on one node")
        }
        var settings = TreeWriter.Settings(temporaryPrefix: Self.temporaryPrefix())
        settings.preserves = preserve
        settings.needsDirectory = needsDirectory || locations.count > 1
        var session = try CopySession(
            target, settings: settings, blockByteCount: block, isRecursive: recursive)
        return session.run(locations)
    }

    /// Of this copy alone, on every node.
    private static func temporaryPrefix() -> String {
        var generator = SystemRandomNumberGenerator()
        return ".bpcp-" + String(generator.next(), radix: 16) + "-"
    }
}
