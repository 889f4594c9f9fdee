import BProc
import CommandSupport
import System

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
    case reconnect(Cluster.Endpoint, from: Cluster.Endpoint?)

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
        case "--reconnect": return try reconnection(value)
        default: return nil
        }
    }

    /// "MASTER[:PORT]", or with a comma the node's own address behind it.
    private static func reconnection(_ text: String) throws(CommandError) -> ControlStep {
        let parts = text.split(separator: ",", omittingEmptySubsequences: false)
        let addresses = parts.enumerated().map {
            SocketAddress(String($0.element), defaultPort: $0.offset == 0 ? masterPort : 0)
        }
        guard parts.count <= 2, let master = addresses[0], master.port != 0 else {
            throw CommandError("'\(text)' is not a master's address, as 192.0.2.1:2223")
        }
        guard parts.count == 2 else { return .reconnect(Cluster.Endpoint(master), from: nil) }
        guard let own = addresses[1], own.family == master.family else {
            throw CommandError("'\(parts[1])' is not an address of the node, as 192.0.2.7")
        }
        return .reconnect(Cluster.Endpoint(master), from: Cluster.Endpoint(own))
    }

    /// Where masters listen that are not told otherwise.
    private static let masterPort: UInt16 = 2223
}

extension Cluster.Endpoint {
    fileprivate init(_ address: SocketAddress) {
        self.init(octets: address.octets, port: address.port)
    }
}
