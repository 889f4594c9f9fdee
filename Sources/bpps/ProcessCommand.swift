import ArgumentParser
import BProc
import CommandSupport
import Glibc

/// Shows what the processes on the nodes do.
struct ProcessCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bpps", abstract: "Show the processes on the nodes, and what they do.",
        discussion: """
            The numbers are those of the front end; SUB is how many processes a process has \
            started. Examples:
              bpps --sort cpu           who works most
              bpps --node 0-15 --tree   with what the processes have started
              bpps --watch --user alice
            """,
        version: "bpps (bproc) 0.1")

    @Option(help: ArgumentHelp("Only on these nodes: 0-15, up, all.", valueName: "nodes"))
    var node: [String] = []
    @Option(help: "Only processes of this user, by name or number.")
    var user: String?
    @Option(name: .shortAndLong, help: "By pid, node, user, cpu, time, memory or command.")
    var sort = ProcessTable.Order.pid
    @Flag(name: .shortAndLong, help: "The other way round.") var reverse = false
    @Flag(name: .shortAndLong, help: "Show what the processes have started below them.")
    var tree = false
    @Flag(help: "An array of objects in JSON.") var json = false
    @Flag(name: .shortAndLong, help: "Show it anew, again and again.") var watch = false
    @Option(
        name: .shortAndLong,
        help: ArgumentHelp("With --watch: how often (default: 2).", valueName: "seconds"))
    var delay: Double = 2
    @Option(
        help: ArgumentHelp(
            "How long a node may take for its answer, up to 20 (default: 2).",
            valueName: "seconds"))
    var patience: Double = 2

    func validate() throws {
        guard patience >= 0.001, patience <= 20 else {
            throw ValidationError("--patience is 0.001 to 20 seconds.")
        }
        guard delay >= 0.1, delay <= 86400 else {
            throw ValidationError("--delay is 0.1 to 86400 seconds.")
        }
    }

    func run() throws {
        do throws(CommandError) {
            var table = ProcessTable()
            table.order = sort
            table.isReversed = reverse
            table.showsTree = tree
            table.user = try userNumber()
            if watch {
                try follow(table)
            } else {
                let survey = try survey()
                let columns = StandardOutput.columns(of: STDOUT_FILENO)
                StandardOutput.write(
                    json ? table.json(survey) : table.text(survey, columns: columns))
                guard !report(survey) else { throw CommandError("", exitStatus: 1) }
            }
        } catch {
            if !error.sentence.isEmpty {
                StandardOutput.report(error.sentence, command: "bpps")
            }
            throw ArgumentParser.ExitCode(error.exitStatus)
        }
    }

    private func userNumber() throws(CommandError) -> UInt32? {
        guard let user else { return nil }
        guard let number = AccountNames().userNumber(user) else {
            throw CommandError("there is no user '\(user)'")
        }
        return number
    }

    // MARK: Survey

    private func survey() throws(CommandError) -> Cluster.ProcessSurvey {
        let cluster = Cluster()
        do throws(BProcError) {
            let milliseconds = Int32(patience * 1000)
            guard !node.isEmpty else {
                return try cluster.survey(patienceMilliseconds: milliseconds)
            }
            let chosen = try chosenNodes(of: try cluster.nodes())
            guard chosen.count != 1 else {
                return try cluster.survey(of: chosen[0], patienceMilliseconds: milliseconds)
            }
            // All at once, so that a silent node costs its time once.
            let wanted = Set(chosen)
            var survey = try cluster.survey(patienceMilliseconds: milliseconds)
            survey.processes.removeAll { !wanted.contains($0.node) }
            survey.silent.removeAll { !wanted.contains($0.node) }
            return survey
        } catch {
            throw CommandError(error.description)
        }
    }

    private func chosenNodes(of known: [Cluster.Node]) throws(BProcError) -> [Int32] {
        do throws(CommandError) {
            let argument = try NodeArgument(node.joined(separator: ","), known: known)
            for missing in argument.missing {
                StandardOutput.report("node \(missing): Invalid node number", command: "bpps")
            }
            return argument.nodes
        } catch {
            throw BProcError(errorNumber: EINVAL, sentence: error.sentence)
        }
    }

    /// Names the nodes that have said nothing.
    /// - Returns: whether there are any.
    private func report(_ survey: Cluster.ProcessSurvey) -> Bool {
        for silent in survey.silent.sorted(by: { $0.node < $1.node }) {
            StandardOutput.report(
                "node \(silent.node) does not answer: \(silent.error.sentence)", command: "bpps")
        }
        return !survey.silent.isEmpty
    }

    // MARK: Watching

    /// Home, and everything behind it cleared: what stays the same does not flicker.
    private static let clear = "\u{1b}[H\u{1b}[J"

    private func follow(_ table: ProcessTable) throws(CommandError) {
        var earlier: Cluster.ProcessSurvey?
        while true {
            let survey = try survey()
            if json {
                StandardOutput.write(table.json(survey, since: earlier))
            } else {
                let columns = StandardOutput.columns(of: STDOUT_FILENO)
                let silent = survey.silent.map(\.node)
                let note =
                    silent.isEmpty
                    ? "" : "silent: \(NodeTable.ranges(silent))\n"
                StandardOutput.write(
                    Self.clear + "\(survey.processes.count) processes\n" + note
                        + table.text(survey, since: earlier, columns: columns, lineLimit: lines))
            }
            earlier = survey
            pause()
        }
    }

    /// Lines for processes on a screen of the usual height; nil: it is no terminal.
    private var lines: Int? {
        StandardOutput.rows(of: STDOUT_FILENO).map { max(1, $0 - 5) }
    }

    private func pause() {
        var entry = pollfd(fd: -1, events: 0, revents: 0)
        _ = unsafe poll(&entry, 1, Int32(delay * 1000))
    }
}
