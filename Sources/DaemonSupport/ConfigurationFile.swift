public import ArgumentParser
import FoundationEssentials
import Glibc

/// A daemon's configuration file: JSON5, one object whose keys are the long options.
///
/// Its values become arguments that stand before those of the command line, so the command line
/// wins and one parser judges both. An option that may be repeated has a list, or an object, whose
/// members become `name=value`.
public struct ConfigurationFile: Equatable, Sendable {
    /// Something that is wrong with a file, and where.
    public struct Mistake: Equatable, CustomStringConvertible, Sendable {
        public let path: String
        /// From 1; 0: the file as a whole.
        public let line: Int
        /// From 1, in characters.
        public let column: Int
        public let sentence: String

        /// "file:line:column: sentence", as compilers write it.
        public var description: String {
            line == 0 ? "\(path): \(sentence)" : "\(path):\(line):\(column): \(sentence)"
        }
    }

    /// Why a configuration file cannot be used: every mistake that it has.
    public struct Problem: Error, Equatable, CustomStringConvertible, Sendable {
        public let mistakes: [Mistake]

        public var description: String { mistakes.map(\.description).joined(separator: "\n") }
    }

    /// An argument, and where it stands.
    struct Unit {
        let argument: String
        let place: TextPlace
    }

    /// Far more than any configuration has; a wrong path must not fill the memory.
    static let byteLimit = 16 << 20

    public let path: String
    private let values: [String: Value]
    private let places: ObjectPlaces

    /// - Parameter path: for messages.
    public init(_ text: String, path: String) throws(Problem) {
        self.path = path
        let decoder = JSONDecoder()
        decoder.allowsJSON5 = true
        do {
            values = try decoder.decode([String: Value].self, from: Data(text.utf8))
            places = ObjectPlaces(text)
        } catch {
            throw Problem(mistakes: [Self.mistake(for: error, in: text, path: path)])
        }
    }

    /// The arguments that say what the file says, keys in the order of the file.
    public func arguments(for command: any ParsableCommand.Type) throws(Problem) -> [String] {
        let (units, mistakes) = try units(for: command)
        guard mistakes.isEmpty else { throw Problem(mistakes: mistakes) }
        return units.map(\.argument)
    }

    /// The arguments, and what is no option, or no value of its kind.
    func units(
        for command: any ParsableCommand.Type
    ) throws(Problem) -> (units: [Unit], mistakes: [Mistake]) {
        let options = try OptionTable(command, path: path)
        var units: [Unit] = []
        var mistakes: [Mistake] = []
        var seen: Set<String> = []
        for member in places.members {
            let key = member.key
            guard seen.insert(key).inserted else {
                mistakes.append(mistake("'\(key)' stands here a second time", at: member.place))
                continue
            }
            guard let option = options[key], let value = values[key] else {
                mistakes.append(mistake("there is no key '\(key)'", at: member.place))
                continue
            }
            do throws(SentenceError) {
                units += try self.units(of: value, for: option, at: member)
            } catch {
                mistakes.append(mistake("'\(key)' \(error.sentence)", at: member.value))
            }
        }
        return (units, mistakes)
    }

    private func units(
        of value: Value, for option: OptionTable.Option, at member: ObjectPlaces.Member
    ) throws(SentenceError) -> [Unit] {
        let word = "--\(member.key)"
        guard option.takesValue else {
            guard case .flag(let flag) = value else {
                throw SentenceError(sentence: "is true or false")
            }
            return flag ? [Unit(argument: word, place: member.place)] : []
        }
        switch value {
        case .text(let text): return [Unit(argument: "\(word)=\(text)", place: member.value)]
        case .list(let texts) where option.isRepeating:
            return texts.enumerated().map { index, text in
                let place = index < member.parts.count ? member.parts[index].place : member.value
                return Unit(argument: "\(word)=\(text)", place: place)
            }
        case .table(let table) where option.isRepeating:
            var rest = table
            // In the order of the file; a key that was written with escapes comes last.
            return member.parts.compactMap { part in
                rest.removeValue(forKey: part.key).map {
                    Unit(argument: "\(word)=\(part.key)=\($0)", place: part.place)
                }
            }
                + rest.sorted { $0.key < $1.key }.map {
                    Unit(argument: "\(word)=\($0.key)=\($0.value)", place: member.value)
                }
        case .flag, .list, .table, .other:
            throw SentenceError(
                sentence: option.isRepeating
                    ? "is a string, a list of strings, or an object of strings"
                    : "is a number or a string")
        }
    }

    private struct SentenceError: Error {
        let sentence: String
    }

    func mistake(_ sentence: String, at place: TextPlace?) -> Mistake {
        Mistake(
            path: path, line: place?.line ?? 0, column: place?.column ?? 0, sentence: sentence)
    }

    // MARK: Files

    /// The command line with the arguments of its file before it.
    /// - Parameters:
    ///   - commandLine: without the command's name.
    ///   - defaultPath: read if it exists and no --config names another.
    public static func arguments(
        _ commandLine: [String], defaultPath: String, for command: any ParsableCommand.Type
    ) throws(Problem) -> [String] {
        guard let file = try read(commandLine, defaultPath: defaultPath) else {
            return commandLine
        }
        return try file.arguments(for: command) + commandLine
    }

    /// The file that a command line means; nil: there is none.
    public static func read(
        _ commandLine: [String], defaultPath: String
    ) throws(Problem) -> ConfigurationFile? {
        let named = namedPath(in: commandLine)
        let path = named ?? defaultPath
        guard let text = try text(at: path, mayBeMissing: named == nil) else { return nil }
        return try ConfigurationFile(text, path: path)
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
        func problem(_ sentence: String) -> Problem {
            Problem(mistakes: [Mistake(path: path, line: 0, column: 0, sentence: sentence)])
        }
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            let number = errno
            if number == ENOENT && mayBeMissing { return nil }
            throw problem(unsafe String(cString: strerror(number)))
        }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 16384)
        while true {
            let count = unsafe Glibc.read(descriptor, &buffer, buffer.count)
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw problem(unsafe String(cString: strerror(errno))) }
            if count == 0 { break }
            bytes += buffer[..<count]
            guard bytes.count <= byteLimit else { throw problem("more than \(byteLimit) bytes") }
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw problem("not UTF-8")
        }
        return text
    }
}

extension ConfigurationFile {
    /// What a key may have as its value.
    enum Value: Decodable, Equatable, Sendable {
        case flag(Bool)
        /// A number as the parser of the options reads it.
        case text(String)
        case list([String])
        case table([String: String])
        /// Something that no option takes.
        case other

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let flag = try? container.decode(Bool.self) {
                self = .flag(flag)
            } else if let scalar = try? container.decode(Scalar.self) {
                self = .text(scalar.text)
            } else if let list = try? container.decode([Scalar].self) {
                self = .list(list.map(\.text))
            } else if let table = try? container.decode([String: Scalar].self) {
                self = .table(table.mapValues(\.text))
            } else {
                self = .other
            }
        }
    }

    /// A number or a string.
    private struct Scalar: Decodable {
        let text: String

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let number = try? container.decode(Int.self) {
                text = "\(number)"
            } else {
                text = try container.decode(String.self)
            }
        }
    }
}

/// The long options of a command, as its parser describes them.
struct OptionTable {
    struct Option {
        /// Without one it is a flag.
        let takesValue: Bool
        let isRepeating: Bool
    }

    private let options: [String: Option]

    init(
        _ command: any ParsableCommand.Type, path: String
    ) throws(ConfigurationFile.Problem) {
        let description = Data(command._dumpHelp().utf8)
        let tool: Tool
        do {
            tool = try JSONDecoder().decode(Tool.self, from: description)
        } catch {
            throw ConfigurationFile.Problem(mistakes: [
                ConfigurationFile.Mistake(
                    path: path, line: 0, column: 0, sentence: "the options are unknown: \(error)")
            ])
        }
        var options: [String: Option] = [:]
        for argument in tool.command.arguments ?? [] {
            for name in argument.names ?? [] where name.kind == "long" {
                options[name.name] = Option(
                    takesValue: argument.kind == "option", isRepeating: argument.isRepeating)
            }
        }
        for word in Self.onlyOnTheCommandLine { options[word] = nil }
        self.options = options
    }

    /// What a file cannot ask for.
    private static let onlyOnTheCommandLine = [
        "help", "version", "help-hidden", "generate-completion-script", "config", "check-config",
    ]

    subscript(name: String) -> Option? { options[name] }

    private struct Tool: Decodable {
        let command: Command
    }
    private struct Command: Decodable {
        let arguments: [Argument]?
    }
    private struct Argument: Decodable {
        let kind: String
        let isRepeating: Bool
        let names: [Name]?
    }
    private struct Name: Decodable {
        let kind: String
        let name: String
    }
}
