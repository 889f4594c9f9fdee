import ArgumentParser
import Master

/// The site's programs for nodes that come and go.
struct HookOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            """
            Program to run when a node connects, with its number: the node's state is boot until \
            it has ended, then up, or error if it has failed.
            """, valueName: "path"))
    var nodeUp: String?

    @Option(
        help: ArgumentHelp(
            "Program to run when a node is lost, with its number.", valueName: "path"))
    var nodeDown: String?

    @Option(
        help: ArgumentHelp(
            "These programs are ended, with all that they have started, after this long.",
            valueName: "seconds"))
    var hookTimeout = 300

    @Option(help: ArgumentHelp("So many of them run at a time.", valueName: "n"))
    var hookLimit = 16

    @Option(
        help: ArgumentHelp(
            "Existing directory for their output, a file node.N for each node.",
            valueName: "directory"))
    var hookLogs = "/var/log/bproc"

    func validate() throws {
        for (name, path) in [("node-up", nodeUp), ("node-down", nodeDown), ("hook-logs", hookLogs)]
        {
            guard let path, !path.hasPrefix("/") else { continue }
            throw ValidationError("--\(name) '\(path)' does not begin with /")
        }
        guard (1...86400).contains(hookTimeout) else {
            throw ValidationError("--hook-timeout must be 1 to 86400 seconds")
        }
        guard (1...1024).contains(hookLimit) else {
            throw ValidationError("--hook-limit must be 1 to 1024")
        }
    }

    func apply(to configuration: inout MasterConfiguration) {
        configuration.nodeUpHook = nodeUp
        configuration.nodeDownHook = nodeDown
        configuration.hookTimeoutSeconds = hookTimeout
        configuration.hookCountLimit = hookLimit
        configuration.hookLogDirectory = hookLogs
    }
}
