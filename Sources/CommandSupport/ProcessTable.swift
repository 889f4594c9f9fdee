public import BProc

/// The table of bpps.
public struct ProcessTable {
    public enum Order: String, CaseIterable, Sendable {
        case pid, node, user, cpu, time, memory, command
    }

    /// A process as it is shown.
    struct Row {
        let status: ProcessStatus
        /// Share of one processor in percent.
        let load: Double
        /// Steps below the process with a number.
        let depth: Int
    }

    public var order = Order.pid
    public var isReversed = false
    /// What the numbered processes have started stands below them; else it is only counted.
    public var showsTree = false
    /// nil: everybody's.
    public var user: UInt32?
    private let names: AccountNames

    public init(names: AccountNames = AccountNames()) { self.names = names }

    /// - Parameters:
    ///   - survey: what is shown.
    ///   - earlier: the survey before it; the load is that of the time between the two. nil: that
    ///     of each process's whole life.
    public func text(
        _ survey: Cluster.ProcessSurvey, since earlier: Cluster.ProcessSurvey? = nil,
        columns: Int? = nil, lineLimit: Int? = nil
    ) -> String {
        let groups = groups(of: survey, since: earlier)
        var text = "    PID NODE USER     S  %CPU       TIME     MEMORY SUB COMMAND\n"
        var count = 0
        for group in groups {
            for (index, row) in group.enumerated() where index == 0 || showsTree {
                count += 1
                if let lineLimit, count > lineLimit { continue }
                text += cut(line(row, descendantCount: index == 0 ? group.count - 1 : nil), columns)
            }
        }
        if let lineLimit, count > lineLimit { text += "... \(count - lineLimit) more\n" }
        return text
    }

    /// An array of objects, one on each line.
    public func json(
        _ survey: Cluster.ProcessSurvey, since earlier: Cluster.ProcessSurvey? = nil
    ) -> String {
        var objects: [String] = []
        for group in groups(of: survey, since: earlier) {
            for (index, row) in group.enumerated() where index == 0 || showsTree {
                objects.append(object(row, descendantCount: index == 0 ? group.count - 1 : 0))
            }
        }
        for silent in survey.silent {
            objects.append(
                "{\"node\":\(silent.node),\"error\":\(NodeTable.quoted(silent.error.sentence))}")
        }
        return "[" + objects.joined(separator: ",\n ") + "]\n"
    }

    // MARK: Rows

    /// The numbered processes in their order, each with what it has started behind it.
    func groups(
        of survey: Cluster.ProcessSurvey, since earlier: Cluster.ProcessSurvey?
    ) -> [[Row]] {
        struct Rank: Hashable {
            let job: UInt64, rank: Int32
        }
        var before: [Local: ProcessStatus] = [:]
        for status in earlier?.processes ?? [] { before[Local(status)] = status }
        var places: [Rank: Int] = [:]
        var groups: [[Row]] = []
        var depths: [Local: Int] = [:]
        // A node tells of each rank first and then of what is below it, parents before children.
        for status in survey.processes {
            let rank = Rank(job: status.job, rank: status.rank)
            let parent = Local(node: status.node, number: status.localParent)
            let depth = status.number == nil ? (depths[parent] ?? 0) + 1 : 0
            depths[Local(status)] = depth
            let row = Row(
                status: status, load: Self.load(of: status, since: before[Local(status)]),
                depth: depth)
            if status.number != nil {
                if let place = places[rank] {
                    groups[place].insert(row, at: 0)
                } else {
                    places[rank] = groups.count
                    groups.append([row])
                }
            } else if let place = places[rank] {
                groups[place].append(row)
            }
        }
        groups = groups.filter { user == nil || $0[0].status.user == user }
        groups.sort { isBefore($0[0], $1[0]) }
        return isReversed ? groups.reversed() : groups
    }

    /// A process by its node's number.
    private struct Local: Hashable {
        let node: Int32, number: Int32
        init(node: Int32, number: Int32) {
            self.node = node
            self.number = number
        }
        init(_ status: ProcessStatus) {
            self.init(node: status.node, number: status.localNumber)
        }
    }

    private func isBefore(_ left: Row, _ right: Row) -> Bool {
        let (a, b) = (left.status, right.status)
        switch order {
        case .pid: break
        case .node: if a.node != b.node { return a.node < b.node }
        case .user: if a.user != b.user { return names.user(a.user) < names.user(b.user) }
        case .cpu: if left.load != right.load { return left.load > right.load }
        case .time: if a.time != b.time { return a.time > b.time }
        case .memory:
            if a.residentByteCount != b.residentByteCount {
                return a.residentByteCount > b.residentByteCount
            }
        case .command: if a.command != b.command { return a.command < b.command }
        }
        return (a.number ?? 0) < (b.number ?? 0)
    }

    private static func load(of status: ProcessStatus, since earlier: ProcessStatus?) -> Double {
        var time = status.time
        var elapsed = status.elapsedMicroseconds
        if let earlier, earlier.job == status.job,
            earlier.elapsedMicroseconds < elapsed, earlier.time <= time
        {
            time -= earlier.time
            elapsed -= earlier.elapsedMicroseconds
        }
        return elapsed == 0 ? 0 : Double(time) * 100 / Double(elapsed)
    }

    // MARK: Lines

    private func line(_ row: Row, descendantCount: Int?) -> String {
        let status = row.status
        let number = status.number.map { "\($0)" } ?? "-"
        let indent = String(repeating: "  ", count: row.depth)
        return [
            Column.right(number, 7), Column.right("\(status.node)", 4),
            Column.left(names.user(status.user), 8), "\(status.state)",
            Column.right(Self.tenths(row.load), 5), Column.right(Self.clock(status.time), 10),
            Column.right(Self.size(status.residentByteCount), 10),
            Column.right(descendantCount.map { "\($0)" } ?? "", 3), indent + status.command,
        ].joined(separator: " ") + "\n"
    }

    private func object(_ row: Row, descendantCount: Int) -> String {
        let status = row.status
        let number = status.number.map { "\($0)" } ?? "null"
        return "{\"pid\":\(number),\"node\":\(status.node),\"rank\":\(status.rank),"
            + "\"job\":\(status.job),\"localPid\":\(status.localNumber),"
            + "\"localParent\":\(status.localParent),"
            + "\"user\":\(NodeTable.quoted(names.user(status.user))),\"uid\":\(status.user),"
            + "\"state\":\(NodeTable.quoted(String(status.state))),"
            + "\"cpu\":\(Self.tenths(row.load)),\"userMicroseconds\":\(status.userMicroseconds),"
            + "\"systemMicroseconds\":\(status.systemMicroseconds),"
            + "\"elapsedMicroseconds\":\(status.elapsedMicroseconds),"
            + "\"residentBytes\":\(status.residentByteCount),"
            + "\"descendants\":\(descendantCount),"
            + "\"command\":\(NodeTable.quoted(status.command))}"
    }

    private func cut(_ line: String, _ columns: Int?) -> String {
        guard let columns, line.count > columns + 1 else { return line }
        return String(line.prefix(columns)) + "\n"
    }

    /// `12.3`.
    static func tenths(_ value: Double) -> String {
        let tenths = Int((value * 10).rounded())
        return "\(tenths / 10).\(tenths % 10)"
    }

    /// Hours, minutes and seconds, or days and hours.
    static func clock(_ microseconds: UInt64) -> String {
        let seconds = microseconds / 1_000_000
        func two(_ number: UInt64) -> String { number < 10 ? "0\(number)" : "\(number)" }
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60)
        return "\(hours):\(two(minutes)):\(two(seconds % 60))"
    }

    /// In KiB, MiB or GiB.
    static func size(_ byteCount: UInt64) -> String {
        let kibibytes = Double(byteCount) / 1024
        if kibibytes < 10_000 { return "\(Int(kibibytes)) KiB" }
        if kibibytes < 10_000 * 1024 { return "\(tenths(kibibytes / 1024)) MiB" }
        return "\(tenths(kibibytes / 1024 / 1024)) GiB"
    }
}

extension ProcessStatus {
    var time: UInt64 { userMicroseconds + systemMicroseconds }
}
