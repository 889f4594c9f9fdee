public import BProc

/// The process lists of bpstat.
public struct ProcessList {
    private let processes: [Cluster.Process]

    public init(_ processes: [Cluster.Process]) { self.processes = processes }

    /// The numbers and their nodes, as ever: a heading, then a tab between the two.
    public var text: String {
        processes.reduce(into: "PID\tNode\n") { $0 += "\($1.number)\t\($1.node)\n" }
    }

    /// An array of objects, one on each line.
    public var json: String {
        let objects = processes.map { "{\"pid\":\($0.number),\"node\":\($0.node)}" }
        return "[" + objects.joined(separator: ",\n ") + "]\n"
    }

    /// The output of ps(1) with a first column for the node, empty where a process is on none.
    /// - Returns: nil: its first line names no column PID.
    public func filter(_ lines: [String], asJSON: Bool = false) -> String? {
        guard let head = lines.first,
            let column = head.split(separator: " ").firstIndex(of: "PID")
        else { return nil }
        var nodes: [Int32: Int32] = [:]
        for process in processes { nodes[process.number] = process.node }
        var text = asJSON ? "[" : Self.column("NODE") + head + "\n"
        var separator = ""
        for line in lines.dropFirst() {
            let words = line.split(separator: " ")
            let number = column < words.count ? Int32(words[column]) : nil
            let node = number.flatMap { nodes[$0] }
            if asJSON {
                text += separator + "{\"node\":\(node.map { "\($0)" } ?? "null"),"
                text += "\"pid\":\(number.map { "\($0)" } ?? "null"),"
                text += "\"line\":\(NodeTable.quoted(line))}"
                separator = ",\n "
            } else {
                text += Self.column(node.map { "\($0)" } ?? "") + line + "\n"
            }
        }
        return asJSON ? text + "]\n" : text
    }

    private static func column(_ text: String) -> String {
        text + String(repeating: " ", count: max(1, 6 - text.utf8.count))
    }
}
