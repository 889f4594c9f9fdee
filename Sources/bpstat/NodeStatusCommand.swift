import ArgumentParser
import BProc
import CommandSupport
import Glibc

/// Shows the nodes and their state.
struct NodeStatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bpstat", abstract: "Show the nodes of the cluster and their state.",
        discussion: """
            Examples:
              bpstat -l up          one line for each node that is up
              bpstat -t notdown     how many nodes are connected
              bpstat -U             a table that follows every change
              ps xj | bpstat -P     the processes of this machine and where they run
            """,
        version: "bpstat (bproc) 0.1")

    enum Display: EnumerableFlag {
        case compact, long, address, status, number, total, json

        static func name(for value: Display) -> NameSpecification {
            value == .json ? .long : .shortAndLong
        }

        static func help(for value: Display) -> ArgumentHelp? {
            switch value {
            case .compact: "Nodes that are alike share a line (the default)."
            case .long: "One line for each node, with its address."
            case .address: "The addresses alone."
            case .status: "The states alone."
            case .number: "The numbers alone."
            case .total: "How many nodes there are."
            case .json: "An array of objects in JSON."
            }
        }
    }

    enum Sorting: EnumerableFlag {
        case sortNumber, sortStatus, keepOrder

        static func name(for value: Sorting) -> NameSpecification {
            switch value {
            case .sortNumber: [.customShort("N"), .long]
            case .sortStatus: [.customShort("S"), .long]
            case .keepOrder: [.customShort("O"), .long]
            }
        }

        static func help(for value: Sorting) -> ArgumentHelp? {
            switch value {
            case .sortNumber: "By number (the default, but for -c)."
            case .sortStatus: "By state, then by number (the default for -c)."
            case .keepOrder: "In the order in which the nodes are asked for."
            }
        }
    }

    enum Listing: EnumerableFlag {
        case processes, filter

        static func name(for value: Listing) -> NameSpecification {
            value == .processes ? .shortAndLong : [.customShort("P"), .long]
        }

        static func help(for value: Listing) -> ArgumentHelp? {
            switch value {
            case .processes: "The processes on the nodes, each with its node."
            case .filter: "Read the output of ps, and add a column with the node."
            }
        }
    }

    @Flag(exclusivity: .exclusive) var display: Display?
    @Flag(exclusivity: .exclusive) var listing: Listing?
    @Flag(exclusivity: .exclusive) var sorting: Sorting?
    @Flag(name: [.customShort("R"), .customLong("sort-reverse")], help: "The other way round.")
    var isReversed = false
    @Flag(
        name: [.customShort("U"), .customLong("update")], help: "Show it anew after every change.")
    var updates = false
    @Flag(
        name: [.customShort("L"), .customLong("lock")],
        help: "With -U: do not end by interrupt, quit or stop from the terminal.")
    var isLocked = false
    @Option(
        name: [.customShort("A"), .customLong("node-of")],
        help: ArgumentHelp(
            "Print the number of the node with this address, or name in /etc/hosts.",
            valueName: "host"))
    var host: String?
    @Argument(help: "Nodes: 0-15, up, notdown, all. Default: all.")
    var nodes: [String] = []

    func validate() throws {
        guard listing != nil else { return }
        guard display == nil || display == .json else {
            throw ValidationError("Processes are shown as they are, or with --json.")
        }
        guard !updates, host == nil else {
            throw ValidationError("-U and -A are for nodes.")
        }
    }

    func run() throws {
        do throws(CommandError) {
            if let listing {
                try show(listing)
            } else if let host {
                try printNode(of: host)
            } else if updates {
                try follow()
            } else {
                StandardOutput.write(render(try chosenNodes(of: try knownNodes())))
            }
        } catch {
            StandardOutput.report(error.sentence, command: "bpstat")
            throw ArgumentParser.ExitCode(error.exitStatus)
        }
    }

    // MARK: Nodes

    private func knownNodes() throws(CommandError) -> [Cluster.Node] {
        do throws(BProcError) {
            return try Cluster().nodes()
        } catch {
            throw CommandError(error.description)
        }
    }

    private func chosenNodes(
        of known: [Cluster.Node], reportsMissing: Bool = true
    ) throws(CommandError) -> [Cluster.Node] {
        guard !nodes.isEmpty else { return known }
        let argument = try NodeArgument(nodes.joined(separator: ","), known: known)
        if reportsMissing {
            for missing in argument.missing {
                StandardOutput.report("node \(missing): Invalid node number", command: "bpstat")
            }
        }
        var places: [Int32: Int] = [:]
        for (place, node) in known.enumerated() { places[node.number] = place }
        // Each node once, however often it was named.
        return argument.nodes.compactMap { places.removeValue(forKey: $0).map { known[$0] } }
    }

    /// The table of the classic interface has room for IPv4 only: others are asked for one by one.
    private func withAddresses(_ nodes: [Cluster.Node]) -> [Cluster.Node] {
        nodes.map { node in
            guard node.address == nil, node.state != "down" else { return node }
            var node = node
            // A node that has gone down since has none.
            node.address = try? Cluster().address(of: node.number)
            return node
        }
    }

    private func printNode(of host: String) throws(CommandError) {
        let addresses = HostFile().addresses(of: host)
        let found = withAddresses(try knownNodes()).filter { node in
            node.address.map(addresses.contains) ?? false
        }
        guard !found.isEmpty else { throw CommandError("no node has the address '\(host)'") }
        for node in found { StandardOutput.write("\(node.number)\n") }
    }

    // MARK: Processes

    private func show(_ listing: Listing) throws(CommandError) {
        let list = ProcessList(try processes())
        switch listing {
        case .processes: StandardOutput.write(display == .json ? list.json : list.text)
        case .filter:
            let lines = TextFile.readStandardInput(byteLimit: 1 << 30)?
                .split(separator: "\n").map(String.init)
            guard let text = list.filter(lines ?? [], asJSON: display == .json) else {
                throw CommandError("standard input is no output of ps: no column is named PID")
            }
            StandardOutput.write(text)
        }
    }

    private func processes() throws(CommandError) -> [Cluster.Process] {
        let chosen = nodes.isEmpty ? nil : Set(try chosenNodes(of: try knownNodes()).map(\.number))
        do throws(BProcError) {
            let all = try Cluster().processes()
            return chosen.map { chosen in all.filter { chosen.contains($0.node) } } ?? all
        } catch {
            throw CommandError(error.description)
        }
    }

    // MARK: Output

    private func render(_ chosen: [Cluster.Node]) -> String {
        let order: NodeOrder =
            switch sorting {
            case .sortNumber: .number
            case .sortStatus: .state
            case .keepOrder: .asked
            case nil: display == nil || display == .compact ? .state : .number
            }
        let shown = order.sorted(chosen, isReversed: isReversed)
        func lines(_ texts: [String]) -> String { texts.map { $0 + "\n" }.joined() }
        switch display {
        case .compact, nil:
            return NodeTable().compact(
                shown, columns: StandardOutput.columns(of: STDOUT_FILENO) ?? 80)
        case .long: return NodeTable().long(withAddresses(shown))
        case .address: return lines(withAddresses(shown).map { $0.address ?? "-" })
        case .status: return lines(shown.map(\.state))
        case .number: return lines(shown.map { "\($0.number)" })
        case .total: return "\(shown.count)\n"
        case .json: return NodeTable().json(withAddresses(shown))
        }
    }

    /// Home, and everything behind it cleared: what stays the same does not flicker.
    private static let clear = "\u{1b}[H\u{1b}[J"

    private func follow() throws(CommandError) {
        if isLocked {
            for number in [SIGINT, SIGQUIT, SIGTSTP] { signal(number, SIG_IGN) }
        }
        let notifier = try watch()
        var isFirst = true
        while true {
            let known = try table(of: notifier)
            let text = render(try chosenNodes(of: known, reportsMissing: isFirst))
            StandardOutput.write(display == .json ? text : Self.clear + text)
            isFirst = false
            var entry = pollfd(fd: notifier.descriptor, events: Int16(POLLIN), revents: 0)
            while unsafe poll(&entry, 1, -1) < 0, errno == EINTR {}
        }
    }

    private func watch() throws(CommandError) -> NodeNotifier {
        do throws(BProcError) {
            return try NodeNotifier()
        } catch {
            throw CommandError(error.description)
        }
    }

    private func table(of notifier: borrowing NodeNotifier) throws(CommandError) -> [Cluster.Node] {
        do throws(BProcError) {
            return try notifier.nodes()
        } catch {
            throw CommandError(error.description)
        }
    }
}
