public import BProc

/// The tables of bpstat.
public struct NodeTable {
    private let names: AccountNames

    public init(names: AccountNames = AccountNames()) { self.names = names }

    /// One line for all nodes that are alike, in the order of their first; contiguous numbers as
    /// ranges.
    /// - Parameter columns: the width of the window, which the first column fills.
    public func compact(_ nodes: [Cluster.Node], columns: Int = 80) -> String {
        struct Kind: Hashable {
            var state: String, mode: UInt32, user: UInt32, group: UInt32
        }
        var members: [Kind: [Int32]] = [:]
        var kinds: [Kind] = []
        for node in nodes {
            let kind = Kind(
                state: node.state, mode: node.mode, user: node.user, group: node.group)
            if members[kind] == nil { kinds.append(kind) }
            members[kind, default: []].append(node.number)
        }
        // Status 15, mode 10, user 8, group 8, and a blank before each.
        let width = max(16, columns - 45)
        var lines = [
            Column.left("Node(s)", width) + " " + Column.left("Status", 15) + " "
                + Column.left("Mode", 10) + " "
                + Column.left("User", 8) + " Group"
        ]
        for kind in kinds {
            lines.append(
                Column.left(Self.ranges(members[kind]!), width) + " " + Column.left(kind.state, 15)
                    + " "
                    + Column.left(Self.mode(kind.mode), 10) + " "
                    + Column.left(names.user(kind.user), 8) + " "
                    + names.group(kind.group))
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// One line for each node.
    public func long(_ nodes: [Cluster.Node]) -> String {
        var text = "Node Address         Status       Mode          User       Group\n"
        for node in nodes {
            text += Column.right("\(node.number)", 4) + " "
            text += Column.left(node.address ?? "-", 15) + " " + Column.left(node.state, 12) + " "
            text +=
                Column.left(Self.mode(node.mode), 13) + " " + Column.left(names.user(node.user), 10)
                + " "
            text += names.group(node.group) + "\n"
        }
        return text
    }

    /// An array of objects, one on each line.
    public func json(_ nodes: [Cluster.Node]) -> String {
        let objects = nodes.map { node in
            let address = node.address.map(Self.quoted) ?? "null"
            return "{\"node\":\(node.number),\"state\":\(Self.quoted(node.state)),"
                + "\"address\":\(address),\"mode\":\"\(String(node.mode, radix: 8))\","
                + "\"user\":\(Self.quoted(names.user(node.user))),\"uid\":\(node.user),"
                + "\"group\":\(Self.quoted(names.group(node.group))),\"gid\":\(node.group)}"
        }
        return "[" + objects.joined(separator: ",\n ") + "]\n"
    }

    /// A JSON string: RFC 8259, section 7.
    static func quoted(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": quoted += "\\\(scalar)"
            case "\u{0}"..."\u{1f}":
                let digits = String(scalar.value, radix: 16)
                quoted += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }

    /// `0-3,7`.
    public static func ranges(_ numbers: [Int32]) -> String {
        var ranges: [ClosedRange<Int32>] = []
        for number in numbers.sorted() {
            if let last = ranges.last, last.upperBound == number { continue }
            if let last = ranges.last, last.upperBound == number - 1 {
                ranges[ranges.count - 1] = last.lowerBound...number
            } else {
                ranges.append(number...number)
            }
        }
        return ranges.map {
            $0.lowerBound == $0.upperBound
                ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)"
        }.joined(separator: ",")
    }

    /// Permission as `ls` writes it for a file that can only be executed: `---x--x--x`.
    public static func mode(_ mode: UInt32) -> String {
        let letters = Array("rwxrwxrwx")
        var text = "-"
        for (index, letter) in letters.enumerated() {
            text.append(mode >> UInt32(8 - index) & 1 == 1 ? letter : "-")
        }
        return text
    }
}
