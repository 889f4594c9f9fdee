import Wire

/// A relay tree as a plain recursive value: what the encoded one is compared with.
public struct TreeModel: Equatable {
    public var entry: RelaySubtree.Entry
    public var children: [TreeModel]

    public init(entry: RelaySubtree.Entry, children: [TreeModel]) {
        self.entry = entry
        self.children = children
    }

    /// Reads an encoded tree through its public face.
    public init(_ subtree: RelaySubtree) {
        self.init(entry: subtree.root, children: subtree.children.map { TreeModel($0) })
    }

    public var preorder: [RelaySubtree.Entry] { [entry] + children.flatMap(\.preorder) }

    public var nodeCount: Int { 1 + children.reduce(0) { $0 + $1.nodeCount } }

    /// For each entry in preorder, the index one past its subtree.
    public var subtreeEnds: [Int] { ends(from: 0) }

    private func ends(from start: Int) -> [Int] {
        var ends = [start + nodeCount]
        var next = start + 1
        for child in children {
            ends += child.ends(from: next)
            next += child.nodeCount
        }
        return ends
    }
}
