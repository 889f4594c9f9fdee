public import ArgumentParser
import Glibc
import System

/// A daemon's command: its options may stand in a configuration file.
public protocol DaemonCommand: ParsableCommand {
    var daemon: DaemonOptions { get }
    /// Read if it exists and no --config names another.
    static var defaultConfigurationPath: String { get }
    /// Arguments without which no command line is complete, so that a file can be judged alone.
    static var necessaryArguments: [String] { get }
}

extension DaemonCommand {
    public static var necessaryArguments: [String] { [] }

    /// Runs the command: the configuration file first, then the command line over it.
    public static func mainWithConfiguration() {
        let commandLine = Array(ProgramArguments.all.dropFirst())
        if commandLine.contains("--check-config") { checkConfiguration(commandLine) }
        // What the command says of itself does not depend on a file.
        if commandLine.contains(where: asksForDescription) { main(commandLine) }
        do throws(ConfigurationFile.Problem) {
            main(try arguments(commandLine))
        } catch {
            exit(withError: ValidationError(error.description))
        }
    }

    private static func asksForDescription(_ argument: String) -> Bool {
        ["-h", "--help", "--experimental-dump-help"].contains(argument)
            || argument.hasPrefix("--generate-completion-script")
    }

    /// The command as the command line and the file now are: for a daemon that is told to read the
    /// file again.
    public static func readAgain() throws(ConfigurationFile.Problem) -> Self {
        let words = try arguments(Array(ProgramArguments.all.dropFirst()))
        do {
            return try Self.parse(words)
        } catch {
            throw ConfigurationFile.Problem(mistakes: [
                ConfigurationFile.Mistake(
                    path: "command line", line: 0, column: 0, sentence: message(for: error))
            ])
        }
    }

    /// - Throws: every mistake of the file, if the parser would not take it.
    private static func arguments(
        _ commandLine: [String]
    ) throws(ConfigurationFile.Problem) -> [String] {
        guard
            let file = try ConfigurationFile.read(
                commandLine, defaultPath: defaultConfigurationPath)
        else { return commandLine }
        let words = try? file.arguments(for: Self.self) + commandLine
        if let words, (try? Self.parse(words)) != nil { return words }
        let mistakes = file.mistakes(for: Self.self, before: commandLine)
        guard mistakes.isEmpty else { throw ConfigurationFile.Problem(mistakes: mistakes) }
        return try file.arguments(for: Self.self) + commandLine
    }

    private static func checkConfiguration(_ commandLine: [String]) -> Never {
        let mistakes: [ConfigurationFile.Mistake]
        let sentence: String
        do throws(ConfigurationFile.Problem) {
            if let file = try ConfigurationFile.read(
                commandLine, defaultPath: defaultConfigurationPath)
            {
                mistakes = file.mistakes(for: Self.self, before: necessaryArguments)
                sentence = "\(file.path): nothing is wrong"
            } else {
                mistakes = []
                sentence = "\(defaultConfigurationPath) does not exist: the defaults hold"
            }
        } catch {
            mistakes = error.mistakes
            sentence = ""
        }
        guard mistakes.isEmpty else {
            write(mistakes.map { "\($0)\n" }.joined(), to: 2)
            Glibc.exit(EX_USAGE)
        }
        write("\(sentence)\n", to: 1)
        Glibc.exit(0)
    }

    private static func write(_ text: String, to descriptor: Int32) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = unsafe rest.withUnsafeBytes {
                unsafe Glibc.write(descriptor, $0.baseAddress, $0.count)
            }
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }
}
