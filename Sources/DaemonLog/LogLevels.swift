public import Logging

/// The least level that is logged: for everything, and for single components.
///
/// Written "notice", or "info,relay=debug,launch=trace".
public struct LogLevels: Equatable, Sendable {
    /// Why a text names no levels, as a sentence.
    public struct Problem: Error, Equatable, CustomStringConvertible, Sendable {
        public let description: String
    }

    /// For components that are not named.
    public private(set) var common = Logger.Level.notice
    private var particular: [LogComponent: Logger.Level] = [:]

    public init() {}

    /// - Throws: for an unknown level or component, or one that is there twice; the sentence names
    ///   those that there are.
    public init(parsing text: String) throws(Problem) {
        var hasCommon = false
        for item in text.split(separator: ",", omittingEmptySubsequences: false) {
            let parts = item.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                .map { String(Self.trimmed($0)) }
            guard let level = Logger.Level(rawValue: parts[parts.count - 1]) else {
                throw Problem(
                    description:
                        "'\(parts[parts.count - 1].prefix(64))' is not a log level: \(Self.known)")
            }
            guard parts.count == 2 else {
                guard !hasCommon else {
                    throw Problem(
                        description: "'\(level)' is the second level for all components")
                }
                hasCommon = true
                common = level
                continue
            }
            guard let component = LogComponent(rawValue: parts[0]) else {
                let known = LogComponent.allCases.map(\.rawValue)
                throw Problem(
                    description: """
                        '\(parts[0].prefix(64))' is not a component of the log: \
                        \(known.dropLast().joined(separator: ", ")) or \(known[known.count - 1])
                        """)
            }
            guard particular.updateValue(level, forKey: component) == nil else {
                throw Problem(description: "the component '\(component)' has two log levels")
            }
        }
    }

    public subscript(component: LogComponent) -> Logger.Level { particular[component] ?? common }

    private static var known: String {
        let names = Logger.Level.allCases.map(\.rawValue)
        return "\(names.dropLast().joined(separator: ", ")) or \(names[names.count - 1])"
    }

    private static func trimmed(_ text: Substring) -> Substring {
        var text = text.drop { $0 == " " }
        while text.last == " " { text.removeLast() }
        return text
    }
}
