public import Logging

/// A daemon's log on standard error: one logger for each component.
public struct DaemonLog: Sendable {
    public private(set) var daemon: Logger
    public private(set) var link: Logger
    public private(set) var relay: Logger
    public private(set) var launch: Logger
    public private(set) var node: Logger
    public private(set) var hook: Logger
    public private(set) var program: Logger

    /// - Parameter label: the daemon's name, for lines that do not go to the journal.
    public init(label: String, levels: LogLevels) {
        let form = LineForm.ofStandardError()
        func logger(_ component: LogComponent) -> Logger {
            var logger = Logger(label: "\(label).\(component.rawValue)") {
                LineHandler(form: form, label: $0, component: component)
            }
            logger.logLevel = levels[component]
            return logger
        }
        daemon = logger(.daemon)
        link = logger(.link)
        relay = logger(.relay)
        launch = logger(.launch)
        node = logger(.node)
        hook = logger(.hook)
        program = logger(.program)
    }

    /// Takes other levels over: for a daemon that reads its configuration again.
    public mutating func set(_ levels: LogLevels) {
        daemon.logLevel = levels[.daemon]
        link.logLevel = levels[.link]
        relay.logLevel = levels[.relay]
        launch.logLevel = levels[.launch]
        node.logLevel = levels[.node]
        hook.logLevel = levels[.hook]
        program.logLevel = levels[.program]
    }
}
