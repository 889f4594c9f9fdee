/// A command line of bpsh in its three parts: options, nodes, and the command that is not looked
/// into.
///
/// Options may stand before and after the nodes, and never behind the command's name.
public struct CommandSplit: Equatable, Sendable {
    /// Which options a command has, as far as splitting needs to know.
    public struct Grammar: Sendable {
        /// Options that take the next argument: "-b", "--fan-out".
        public var valued: Set<String>
        /// Options that stand for the nodes, "-a", "--all-up": with one of them there is no node
        /// argument.
        public var nodeSelecting: Set<String>

        public init(valued: Set<String>, nodeSelecting: Set<String>) {
            self.valued = valued
            self.nodeSelecting = nodeSelecting
        }
    }

    public private(set) var options: [[UInt8]] = []
    /// nil: an option selects the nodes, or there is no further argument.
    public private(set) var nodes: [UInt8]?
    /// The name and its arguments; empty: none was given.
    public private(set) var command: [[UInt8]] = []

    public init(_ arguments: [[UInt8]], grammar: Grammar) {
        var rest = arguments[...]
        var selectsNodes = false
        while let argument = rest.popFirst() {
            let text = String(decoding: argument, as: UTF8.self)
            if text == "--" {
                // Behind it everything is the nodes (if they are still to come) and the command.
                if nodes == nil && !selectsNodes { nodes = rest.popFirst() }
                command = Array(rest)
                return
            }
            if text.hasPrefix("--") {
                options.append(argument)
                if grammar.valued.contains(text), let value = rest.popFirst() {
                    options.append(value)
                }
                selectsNodes = selectsNodes || grammar.nodeSelecting.contains(text)
            } else if text.hasPrefix("-") && text.utf8.count > 1 {
                if takeLetters(argument, rest: &rest, grammar: grammar) { selectsNodes = true }
            } else if nodes == nil && !selectsNodes {
                nodes = argument
            } else {
                command = [argument] + rest
                return
            }
        }
    }

    /// Letters behind one dash. The first that has a value ends them: what follows it in the same
    /// argument is the value, or else the next argument.
    /// - Returns: whether one of them stands for the nodes.
    private mutating func takeLetters(
        _ argument: [UInt8], rest: inout ArraySlice<[UInt8]>, grammar: Grammar
    ) -> Bool {
        func name(_ letter: UInt8) -> String { "-" + String(UnicodeScalar(letter)) }
        let letters = argument.dropFirst()
        let valued = letters.firstIndex { grammar.valued.contains(name($0)) }
        let flags = letters[..<(valued ?? letters.endIndex)]
        if !flags.isEmpty { options.append([UInt8(ascii: "-")] + flags) }
        if let valued {
            options.append([UInt8(ascii: "-")] + letters[valued...])
            if valued == letters.endIndex - 1, let value = rest.popFirst() {
                options.append(value)
            }
        }
        return flags.contains { grammar.nodeSelecting.contains(name($0)) }
    }
}
