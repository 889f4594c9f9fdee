import BProc
import CommandSupport

/// A path, and the nodes that it is on.
struct CopyLocation: Equatable {
    /// Empty: here.
    var nodes: [Int32]
    var path: [UInt8]
    /// As it was written.
    var text: String

    /// The part before the first colon names nodes, unless a slash stands before it.
    /// - Parameter known: the table of nodes; asked for only where nodes are named.
    /// - Throws: what is wrong with the nodes.
    init(_ text: String, known: () throws(CommandError) -> [Cluster.Node]) throws(CommandError) {
        self.text = text
        let bytes = Array(text.utf8)
        guard let colon = bytes.firstIndex(of: UInt8(ascii: ":")),
            !bytes[..<colon].contains(UInt8(ascii: "/")), colon > 0
        else {
            nodes = []
            path = bytes
            return
        }
        // user@node: rcp has it, and the user is the caller here.
        let words = bytes[..<colon].split(separator: UInt8(ascii: "@"))
        let name = String(decoding: words.last ?? [], as: UTF8.self)
        path = Array(bytes[(colon + 1)...])
        // The front end was node -1.
        if name == "-1" {
            nodes = []
            return
        }
        let argument = try NodeArgument(name, known: try known())
        if let missing = argument.missing.first {
            throw CommandError("\(text): there is no node \(missing)")
        }
        guard !argument.nodes.isEmpty else { throw CommandError("\(text): no node is meant") }
        guard argument.nodes != [-1] else {
            nodes = []
            return
        }
        guard !argument.nodes.contains(-1) else {
            throw CommandError("\(text): the front end and nodes at once")
        }
        var seen: Set<Int32> = []
        nodes = argument.nodes.filter { seen.insert($0).inserted }
    }

    var isHere: Bool { nodes.isEmpty }
}
