import CommandSupport

/// One option of bpctl, in its turn.
enum ControlStep: Equatable {
    case nodes(String)
    case frontEnd
    case state(String)
    case mode(UInt32)
    case user(UInt32)
    case group(UInt32)
    case root(String)
    case reboot, halt, powerOff

    var choosesNodes: Bool {
        switch self {
        case .nodes, .frontEnd: true
        default: false
        }
    }

    private static let valued: Set<String> = [
        "-S", "--slave", "--node", "-s", "--state", "-m", "--mode", "-u", "--user", "-g",
        "--group", "-r", "--chroot", "--reconnect",
    ]

    /// Reads all of them before any is carried out.
    static func steps(of words: [String]) throws(CommandError) -> [ControlStep] {
        let names = AccountNames()
        var steps: [ControlStep] = []
        for option in OrderedOptions(words, valued: valued).items {
            if let step = try step(option, names: names) { steps.append(step) }
        }
        return steps
    }

    private static func step(
        _ option: OrderedOptions.Item, names: AccountNames
    ) throws(CommandError) -> ControlStep? {
        let value = option.value ?? ""
        switch option.name {
        case "-S", "--slave", "--node": return .nodes(value)
        case "-M", "--master": return .frontEnd
        case "-s", "--state": return .state(value)
        case "-m", "--mode":
            guard let mode = UInt32(value, radix: 8), mode <= 0o7777 else {
                throw CommandError("'\(value)' is no mode: octal digits, of the bits 111")
            }
            return .mode(mode)
        case "-u", "--user":
            guard let user = names.userNumber(value) else {
                throw CommandError("there is no user '\(value)'")
            }
            return .user(user)
        case "-g", "--group":
            guard let group = names.groupNumber(value) else {
                throw CommandError("there is no group '\(value)'")
            }
            return .group(group)
        case "-r", "--chroot": return .root(value)
        case "-R", "--reboot": return .reboot
        case "-H", "--halt": return .halt
        case "-P", "--pwroff", "--power-off": return .powerOff
        default: return nil
        }
    }
}
