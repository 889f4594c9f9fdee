/// A command line of bpsh in its three parts: options, nodes, and the command that is not looked
/// into.
///
/// Options may stand before and after the nodes, and never behind the command's name.
public struct CommandSplit: Equatable, Sendable {
    /// Which options a command has, as far as splitting needs to know.
    public struct Grammar: Sendable {
        /// Options that take the next argument: "-b", "--fan-out".
        public var valued: Set<String>
        /// Letters that stand for the nodes: with one of them there is no node argument.
        public var nodeSelecting: Set<Character>

        public init(valued: Set<String>, nodeSelecting: Set<Character>) {
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
            if text.hasPrefix("-") && text.utf8.count > 1 {
                options.append(argument)
                if grammar.valued.contains(text), let value = rest.popFirst() {
                    options.append(value)
                }
                if !text.hasPrefix("--") {
                    selectsNodes =
                        selectsNodes
                        || text.dropFirst().contains { grammar.nodeSelecting.contains($0) }
                }
            } else if nodes == nil && !selectsNodes {
                nodes = argument
            } else {
                command = [argument] + rest
                return
            }
        }
    }
}
