import ArgumentParser
import CommandSupport

/// Images of processes in files.
struct ImageCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bpimage", abstract: "Show, check and make images of processes.",
        discussion: """
            An image is a program: running its file continues the process. A file named like a \
            subcommand is meant by ./dump.
            """,
        version: "bpimage (bproc) 0.1", subcommands: [ShowCommand.self, DumpCommand.self],
        defaultSubcommand: ShowCommand.self)
}
