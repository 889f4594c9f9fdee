import ArgumentParser
import Slave

/// What the master may do to the machine: nothing, unless it is said here.
struct ControlOptions: ParsableArguments {
    @Flag(
        help: "The master may make another directory / for everything that is started later.")
    var allowChroot = false
    @Flag(help: "The master may reboot this machine.")
    var allowReboot = false
    @Flag(help: "The master may halt this machine.")
    var allowHalt = false
    @Flag(help: "The master may power this machine off.")
    var allowPowerOff = false

    @Option(
        help: ArgumentHelp(
            "Instead of the system call: a program by its path, and arguments, between blanks.",
            valueName: "command"))
    var rebootCommand: String?
    @Option(help: ArgumentHelp("The same for halting.", valueName: "command"))
    var haltCommand: String?
    @Option(help: ArgumentHelp("The same for powering off.", valueName: "command"))
    var powerOffCommand: String?

    func validate() throws {
        for (name, isAllowed, command) in [
            ("reboot", allowReboot, rebootCommand), ("halt", allowHalt, haltCommand),
            ("power-off", allowPowerOff, powerOffCommand),
        ] {
            guard let command else { continue }
            guard isAllowed else {
                throw ValidationError("--\(name)-command is nothing without --allow-\(name)")
            }
            guard command.hasPrefix("/") else {
                throw ValidationError("--\(name)-command '\(command)' does not begin with a path")
            }
        }
    }

    func apply(to configuration: inout SlaveConfiguration) {
        configuration.allowsChangeOfRoot = allowChroot
        configuration.reboot = Self.permission(allowReboot, rebootCommand)
        configuration.halt = Self.permission(allowHalt, haltCommand)
        configuration.powerOff = Self.permission(allowPowerOff, powerOffCommand)
    }

    private static func permission(
        _ isAllowed: Bool, _ command: String?
    ) -> DeparturePermission {
        guard isAllowed else { return .forbidden }
        return command.map { .command($0.split(separator: " ").map(String.init)) } ?? .systemCall
    }
}
