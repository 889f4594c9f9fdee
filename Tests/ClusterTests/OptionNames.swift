import Foundation
import Testing

/// The options of a command as it says them itself, in the argument parser's JSON.
enum OptionNames {
    private struct Tool: Decodable { var command: Command }

    private struct Command: Decodable {
        var commandName: String
        var arguments: [Argument]?
        var subcommands: [Command]?

        var names: Set<String> {
            let own = (arguments ?? []).filter(\.shouldDisplay).flatMap { $0.names ?? [] }
            return (subcommands ?? []).filter { $0.commandName != "help" }
                .reduce(into: Set(own.map(\.spelling))) { $0.formUnion($1.names) }
        }
    }

    private struct Argument: Decodable {
        var shouldDisplay: Bool
        var names: [Name]?
    }

    private struct Name: Decodable {
        var kind: String
        var name: String

        var spelling: String { (kind == "long" ? "--" : "-") + name }
    }

    /// Every name of every option, those of subcommands too.
    static func of(_ command: String) throws -> Set<String> {
        let outcome = try Conversation(
            "\(TestCluster.build)/\(command)", ["--experimental-dump-help"], environment: [:],
            input: []
        ).finish(seconds: TestCluster.patience)
        try #require(outcome.status == 0, "\(outcome.errorText)")
        return try JSONDecoder().decode(Tool.self, from: Data(outcome.output)).command.names
    }
}
