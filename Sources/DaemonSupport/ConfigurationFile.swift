public import ArgumentParser
import FoundationEssentials
import Glibc

/// A daemon's configuration file: JSON5, one object whose keys are the long options.
///
/// Its values become arguments that stand before those of the command line, so the command line
/// wins and one parser judges both.
public struct ConfigurationFile: Equatable, Sendable {
    /// Why a configuration file cannot be used: a sentence that names the file.
    public struct Problem: Error, Equatable, CustomStringConvertible, Sendable {
        public let description: String
    }

    /// Far more than any configuration has; a wrong path must not fill the memory.
    static let byteLimit = 1 << 20

    private let path: String
    private let values: [String: Value]

    /// - Parameter path: for messages.
    public init(_ text: String, path: String) throws(Problem) {
        self.path = path
        let decoder = JSONDecoder()
        decoder.allowsJSON5 = true
        do {
            values = try decoder.decode([String: Value].self, from: Data(text.utf8))
        } catch {
            throw Problem(description: "\(path): \(Self.sentence(for: error))")
        }
    }

    /// The arguments that say what the file says, keys in alphabetical order.
    public func arguments(for command: any ParsableCommand.Type) throws(Problem) -> [String] {
        let options = try OptionTable(command)
        var arguments: [String] = []
        for (key, value) in values.sorted(by: { $0.key < $1.key }) {
            guard let takesValue = options.takesValue[key], key != "config" else {
                throw Problem(description: "\(path): there is no key '\(key)'")
            }
            switch (value, takesValue) {
            case (.flag(true), false): arguments.append("--\(key)")
            case (.flag(false), false): break
            case (.text(let text), true): arguments.append("--\(key)=\(text)")
            case (_, false):
                throw Problem(description: "\(path): '\(key)' is true or false")
            case (_, true):
                throw Problem(description: "\(path): '\(key)' is a number or a string")
            }
        }
        return arguments
    }

    /// The command line with the file's arguments before it.
    /// - Parameters:
    ///   - commandLine: without the command's name.
    ///   - defaultPath: read if it exists and no --config names another.
    public static func arguments(
        _ commandLine: [String], defaultPath: String, for command: any ParsableCommand.Type
    ) throws(Problem) -> [String] {
        let named = namedPath(in: commandLine)
        guard let text = try text(at: named ?? defaultPath, mayBeMissing: named == nil) else {
            return commandLine
        }
        let file = try ConfigurationFile(text, path: named ?? defaultPath)
        return try file.arguments(for: command) + commandLine
    }

    /// The value of the last --config; the parser complains if a value is missing.
    private static func namedPath(in commandLine: [String]) -> String? {
        var path: String?
        for (index, word) in commandLine.enumerated() {
            if word == "--" { break }
            if word == "--config", index + 1 < commandLine.count { path = commandLine[index + 1] }
            if word.hasPrefix("--config=") { path = String(word.dropFirst("--config=".count)) }
        }
        return path
    }

    private static func text(at path: String, mayBeMissing: Bool) throws(Problem) -> String? {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            let number = errno
            if number == ENOENT && mayBeMissing { return nil }
            throw Problem(description: "\(path): \(unsafe String(cString: strerror(number)))")
        }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 16384)
        while true {
            let count = unsafe read(descriptor, &buffer, buffer.count)
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else {
                let reason = unsafe String(cString: strerror(errno))
                throw Problem(description: "\(path): \(reason)")
            }
            if count == 0 { break }
            bytes += buffer[..<count]
            guard bytes.count <= byteLimit else {
                throw Problem(description: "\(path): more than \(byteLimit) bytes")
            }
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw Problem(description: "\(path): not UTF-8")
        }
        return text
    }

    private static func sentence(for error: any Error) -> String {
        guard let error = error as? DecodingError else { return "\(error)" }
        switch error {
        case .dataCorrupted(let context):
            guard let cause = context.underlyingError else { return context.debugDescription }
            return "\(context.debugDescription) \(cause)"
        case .typeMismatch(_, let context), .valueNotFound(_, let context),
            .keyNotFound(_, let context):
            guard let key = context.codingPath.last else {
                return "a configuration is one object: { key: value }"
            }
            return "'\(key.stringValue)' is neither a number, a string, true nor false"
        @unknown default: return "\(error)"
        }
    }
}

extension ConfigurationFile {
    /// What a key may have as its value.
    enum Value: Decodable, Equatable, Sendable {
        case flag(Bool)
        /// A number as the parser of the options reads it.
        case text(String)

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let flag = try? container.decode(Bool.self) {
                self = .flag(flag)
            } else if let number = try? container.decode(Int.self) {
                self = .text("\(number)")
            } else {
                self = .text(try container.decode(String.self))
            }
        }
    }
}

/// The long options of a command, as its parser describes them.
struct OptionTable {
    /// By name; an option that takes no value is a flag.
    let takesValue: [String: Bool]

    init(_ command: any ParsableCommand.Type) throws(ConfigurationFile.Problem) {
        let description = Data(command._dumpHelp().utf8)
        let tool: Tool
        do {
            tool = try JSONDecoder().decode(Tool.self, from: description)
        } catch {
            throw ConfigurationFile.Problem(description: "the options are unknown: \(error)")
        }
        var takesValue: [String: Bool] = [:]
        for argument in tool.command.arguments ?? [] {
            for name in argument.names ?? [] where name.kind == "long" {
                takesValue[name.name] = argument.kind == "option"
            }
        }
        for word in ["help", "version", "help-hidden", "generate-completion-script"] {
            takesValue[word] = nil
        }
        self.takesValue = takesValue
    }

    private struct Tool: Decodable {
        let command: Command
    }
    private struct Command: Decodable {
        let arguments: [Argument]?
    }
    private struct Argument: Decodable {
        let kind: String
        let names: [Name]?
    }
    private struct Name: Decodable {
        let kind: String
        let name: String
    }
}
