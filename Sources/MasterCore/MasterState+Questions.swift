import Relay
public import Wire

/// What nodes have been asked, and who has not answered yet.
struct NodeQuestion {
    enum Subject { case processes, book }

    let subject: Subject
    var waiting: Set<Int32>
    let deadlineNanoseconds: UInt64
}

/// A process as its node sees it.
public struct ProcessStatus: Equatable, Sendable {
    /// Its number; 0: a descendant of a rank, which has none of its own.
    public var process: Int32
    public var node: Int32
    public var report: ProcessReport.Entry

    public init(process: Int32, node: Int32, report: ProcessReport.Entry) {
        self.process = process
        self.node = node
        self.report = report
    }
}

/// An answer to a question, or a part of it.
public enum NodeAnswer: Equatable, Sendable {
    case processes([ProcessStatus])
    case book(String)
    /// This node has not answered, and will not.
    case silent(errorNumber: Int32)
}

// Questions to nodes: each node has the same time for its answer, and one that is silent keeps the
// others' answers back from nobody.
extension MasterState {
    /// Asks for the state of the processes on a node, or on all that have some.
    ///
    /// - Returns: the question's number, which the effects `nodeAnswers` and `questionIsOver`
    ///   repeat.
    public mutating func askForProcesses(
        on node: Int32?, patienceNanoseconds: UInt64, now: UInt64,
        effects: inout [MasterEffect]
    ) throws(NodeRefusal) -> UInt32 {
        if let node { _ = try reachableRecord(of: node) }
        var asked = Set<Int32>()
        for launch in launches.values {
            for (index, rank) in launch.ranks.enumerated()
            where (node == nil || rank.node == node) && launch.isAlive(index, on: rank.node) {
                asked.insert(rank.node)
            }
        }
        return try ask(
            .processes, of: asked, patienceNanoseconds: patienceNanoseconds, now: now,
            effects: &effects)
    }

    /// Asks a node what it keeps; for root and the master's own user, which the daemon knows.
    public mutating func askForBook(
        of node: Int32, patienceNanoseconds: UInt64, now: UInt64, effects: inout [MasterEffect]
    ) throws(NodeRefusal) -> UInt32 {
        let record = try reachableRecord(of: node)
        return try ask(
            .book, of: [record.node], patienceNanoseconds: patienceNanoseconds, now: now,
            effects: &effects)
    }

    /// Nobody waits for the answer any more.
    public mutating func dropQuestion(_ number: UInt32) { questions[number] = nil }

    private func reachableRecord(of node: Int32) throws(NodeRefusal) -> NodeRecord {
        guard let record = nodes.record(of: node) else {
            throw NodeRefusal(FailureCode.invalidNode, "there is no node \(node)")
        }
        guard record.isReachable else {
            throw NodeRefusal(FailureCode.nodeDown, "node \(node) is \(record.shownState)")
        }
        return record
    }

    private mutating func ask(
        _ subject: NodeQuestion.Subject, of nodes: Set<Int32>, patienceNanoseconds: UInt64,
        now: UInt64, effects: inout [MasterEffect]
    ) throws(NodeRefusal) -> UInt32 {
        guard questions.count < Self.questionLimit else {
            throw NodeRefusal(
                FailureCode.busy, "\(questions.count) questions to nodes are under way")
        }
        let number = nextQuestion
        nextQuestion &+= 1
        let kind: FrameKind = subject == .processes ? .processesRequest : .bookRequest
        var waiting = Set<Int32>()
        for node in nodes.sorted() {
            guard let record = self.nodes.record(of: node), let link = record.link,
                record.isReachable
            else { continue }
            waiting.insert(node)
            effects.append(
                .control(link, frame: FrameHeader.frame(FrameHeader(kind, subject: number))))
        }
        questions[number] = NodeQuestion(
            subject: subject, waiting: waiting,
            deadlineNanoseconds: now + min(patienceNanoseconds, Self.patienceLimitNanoseconds))
        endQuestionIfComplete(number, effects: &effects)
        return number
    }

    // MARK: Answers

    mutating func receive(
        _ report: ProcessReport, number: UInt32, isLast: Bool, from node: Int32,
        effects: inout [MasterEffect]
    ) {
        guard let question = questions[number], question.subject == .processes,
            question.waiting.contains(node)
        else { return }
        let known = report.entries.compactMap { entry -> ProcessStatus? in
            let index = Int(entry.rank)
            guard let launch = launches[entry.launch], index < launch.ranks.count,
                launch.ranks[index].node == node
            else { return nil }
            // What a process that has moved on left behind is not it.
            let place = RankPlace(launch: entry.launch, rank: entry.rank)
            guard placeOfProcess[launch.ranks[index].process] == place else { return nil }
            return ProcessStatus(
                process: entry.isDescendant ? 0 : launch.ranks[index].process, node: node,
                report: entry)
        }
        if !known.isEmpty { effects.append(.nodeAnswers(number, node, .processes(known))) }
        if isLast { hasAnswered(node, number, effects: &effects) }
    }

    mutating func receiveBook(
        _ text: String, number: UInt32, from node: Int32, effects: inout [MasterEffect]
    ) {
        guard let question = questions[number], question.subject == .book,
            question.waiting.contains(node)
        else { return }
        effects.append(.nodeAnswers(number, node, .book(text)))
        hasAnswered(node, number, effects: &effects)
    }

    private mutating func hasAnswered(
        _ node: Int32, _ number: UInt32, effects: inout [MasterEffect]
    ) {
        questions[number]?.waiting.remove(node)
        endQuestionIfComplete(number, effects: &effects)
    }

    private mutating func endQuestionIfComplete(
        _ number: UInt32, effects: inout [MasterEffect]
    ) {
        guard questions[number]?.waiting.isEmpty == true else { return }
        questions[number] = nil
        effects.append(.questionIsOver(number))
    }

    /// The node is gone, and nothing comes from it any more.
    mutating func giveUpQuestions(to node: Int32, effects: inout [MasterEffect]) {
        for number in questions.keys.sorted()
        where questions[number]?.waiting.contains(node) == true {
            effects.append(
                .nodeAnswers(number, node, .silent(errorNumber: FailureCode.slaveDied)))
            hasAnswered(node, number, effects: &effects)
        }
    }

    mutating func endOverdueQuestions(now: UInt64, effects: inout [MasterEffect]) {
        for (number, question) in questions.sorted(by: { $0.key < $1.key })
        where now >= question.deadlineNanoseconds {
            for node in question.waiting.sorted() {
                effects.append(
                    .nodeAnswers(number, node, .silent(errorNumber: FailureCode.timedOut)))
            }
            questions[number] = nil
            effects.append(.questionIsOver(number))
        }
    }

    var questionDeadlineNanoseconds: UInt64 {
        questions.values.lazy.map(\.deadlineNanoseconds).min() ?? .max
    }

    static let questionLimit = 64
    static let patienceLimitNanoseconds: UInt64 = 60_000_000_000
}

// MARK: Book-keeping

extension MasterState {
    /// What is kept, by name: all of it is 0 once nothing is under way.
    public var book: [(name: String, count: Int)] {
        let ranks = launches.values.lazy.flatMap(\.ranks)
        return [
            ("launches", launches.count),
            ("slaves that bring processes", arrivals.count),
            ("launches of other masters", adoptedLaunches.count),
            ("starting ranks", ranks.count { $0.state == .waiting }),
            ("running ranks", ranks.count { $0.state == .placed }),
            ("processes", placeOfProcess.count),
            ("kept signals", launches.values.reduce(0) { $0 + $1.keptSignals.count }),
            ("unanswered orders", controls.count),
            ("unanswered questions", questions.count),
        ]
    }
}
