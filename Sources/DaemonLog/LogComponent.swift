/// What a line of a daemon's log is about. Each has a level of its own.
public enum LogComponent: String, CaseIterable, Sendable {
    /// Its start and end, its configuration, the machine below it.
    case daemon
    /// Connections between daemons.
    case link
    /// Trees of launches: who joins, who is lost, who takes over.
    case relay
    /// Launches and their ranks.
    case launch
    /// The table of nodes: who comes and goes, what is changed and ordered.
    case node
    /// The site's programs for nodes.
    case hook
    /// Programs of this machine that talk to the daemon.
    case program
}
