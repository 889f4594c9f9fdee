public import Wire

/// Programs that have asked what the servers of ghosts keep, and what those have said so far. Each
/// server is asked by itself; one that does not answer in time is named.
public struct GhostBooks: Sendable {
    /// A server by its connection, and the job whose ghosts it has.
    public struct Server: Sendable {
        public var client: ClientID
        public var job: UInt64

        public init(client: ClientID, job: UInt64) {
            self.client = client
            self.job = job
        }
    }

    /// An answer that is complete: a line for each thing.
    public struct Report: Equatable, Sendable {
        public var asker: ClientID
        /// The asker's number for its question.
        public var request: UInt32
        public var lines: [String]
    }

    private struct Question: Sendable {
        let asker: ClientID
        let request: UInt32
        let deadlineNanoseconds: UInt64
        var waited: [ClientID: UInt64]
        var jobCount: Int
        let hiddenCount: Int
        var lines: [(job: UInt64, text: String)] = []
    }

    private var questions: [UInt32: Question] = [:]
    private var nextQuestion: UInt32 = 1

    /// So many servers are asked, those of the oldest jobs; of the others the number is told.
    public static let serverLimit = 64
    public static let questionLimit = 64
    /// A server may be stopped, or have much to do.
    public static let patienceNanoseconds: UInt64 = 2_000_000_000

    public init() {}

    /// How many questions are not answered yet.
    public var questionCount: Int { questions.count }

    public var deadlineNanoseconds: UInt64 {
        questions.values.map(\.deadlineNanoseconds).min() ?? .max
    }

    /// - Returns: the question's number and whom to ask; nil: too much has been asked already.
    public mutating func ask(
        _ servers: [Server], for asker: ClientID, request: UInt32, now: UInt64
    ) -> (number: UInt32, asked: [ClientID])? {
        guard questions.count < Self.questionLimit else { return nil }
        let asked = servers.sorted { $0.job < $1.job }.prefix(Self.serverLimit)
        let number = nextQuestion
        nextQuestion = nextQuestion == .max ? 1 : nextQuestion + 1
        questions[number] = Question(
            asker: asker, request: request,
            deadlineNanoseconds: now + Self.patienceNanoseconds,
            waited: Dictionary(asked.map { ($0.client, $0.job) }) { first, _ in first },
            jobCount: servers.count, hiddenCount: servers.count - asked.count)
        return (number, asked.map(\.client))
    }

    /// A server has said what it keeps; who was not asked is not heard.
    public mutating func receive(
        _ counts: [(name: String, count: UInt64)], from server: ClientID, question: UInt32
    ) {
        guard let job = questions[question]?.waited.removeValue(forKey: server) else { return }
        for (name, count) in counts {
            questions[question]!.lines.append((job, "job \(job), \(name): \(count)"))
        }
    }

    /// A connection has ended: nothing is kept there any more.
    public mutating func forget(_ client: ClientID) {
        for (number, question) in questions {
            guard question.asker != client else {
                questions[number] = nil
                continue
            }
            if questions[number]!.waited.removeValue(forKey: client) != nil {
                questions[number]!.jobCount -= 1
            }
        }
    }

    /// Answers that nothing more is waited for.
    public mutating func takeReports(now: UInt64) -> [Report] {
        var reports: [Report] = []
        for (number, question) in questions
        where question.waited.isEmpty || question.deadlineNanoseconds <= now {
            questions[number] = nil
            reports.append(Self.report(of: question))
        }
        return reports
    }

    private static func report(of question: Question) -> Report {
        var lines = question.lines
        for job in question.waited.values {
            lines.append((job, "job \(job), ghost servers that do not answer: 1"))
        }
        // The lines of one job in the order that they came in.
        let sorted = lines.enumerated().sorted {
            ($0.element.job, $0.offset) < ($1.element.job, $1.offset)
        }
        let heads = [
            "ghost servers: \(question.jobCount)",
            "ghost servers not asked: \(question.hiddenCount)",
        ]
        return Report(
            asker: question.asker, request: question.request,
            lines: heads + sorted.map(\.element.text))
    }
}
