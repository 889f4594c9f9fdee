import MasterCore
import Testing
import Wire

/// Questions to the servers of ghosts: each is heard once, and none is waited for without end.
@Suite struct GhostBookTests {
    static func servers(_ jobs: ClosedRange<UInt64>) -> [GhostBooks.Server] {
        // The newest first: the answer is in their order all the same.
        jobs.reversed().map { GhostBooks.Server(client: ClientID(100 + $0), job: $0) }
    }

    static func ask(
        _ books: inout GhostBooks, _ jobs: ClosedRange<UInt64>, asker: UInt64 = 1
    ) throws -> UInt32 {
        let question = books.ask(
            servers(jobs), for: ClientID(asker), request: 9, now: 10)
        return try #require(question).number
    }

    @Test func withoutServersTheAnswerIsThere() throws {
        var books = GhostBooks()
        let question = books.ask([], for: ClientID(1), request: 9, now: 10)
        #expect(question?.asked.isEmpty == true)
        let lines = ["ghost servers: 0", "ghost servers not asked: 0"]
        let reports = books.takeReports(now: 10)
        #expect(reports.map(\.lines) == [lines])
        #expect(reports.first?.asker == ClientID(1) && reports.first?.request == 9)
        #expect(books.questionCount == 0 && books.deadlineNanoseconds == .max)
    }

    @Test func everyServerIsHeardOnce() throws {
        var books = GhostBooks()
        let number = try Self.ask(&books, 4...5)
        books.receive([("ghosts", 2), ("ranks", 1)], from: ClientID(105), question: number)
        books.receive([("ghosts", 7)], from: ClientID(105), question: number)
        books.receive([("ghosts", 7)], from: ClientID(1), question: number)
        books.receive([("ghosts", 7)], from: ClientID(104), question: number + 1)
        #expect(books.takeReports(now: 11).isEmpty)
        books.receive([("ghosts", 3)], from: ClientID(104), question: number)
        let lines = books.takeReports(now: 11).first?.lines ?? []
        #expect(
            lines.dropFirst(2) == ["job 4, ghosts: 3", "job 5, ghosts: 2", "job 5, ranks: 1"])
    }

    @Test func silenceIsNamedAndAnEndIsNot() throws {
        var books = GhostBooks()
        _ = try Self.ask(&books, 1...3)
        books.forget(ClientID(102))
        books.receive([("ghosts", 1)], from: ClientID(103), question: 1)
        let deadline = books.deadlineNanoseconds
        #expect(deadline == 10 + GhostBooks.patienceNanoseconds)
        #expect(books.takeReports(now: deadline - 1).isEmpty)
        let report = try #require(books.takeReports(now: deadline).first)
        #expect(
            report.lines == [
                "ghost servers: 2", "ghost servers not asked: 0",
                "job 1, ghost servers that do not answer: 1", "job 3, ghosts: 1",
            ])
        // Whoever has asked and gone gets no answer.
        _ = try Self.ask(&books, 1...1, asker: 77)
        books.forget(ClientID(77))
        #expect(books.questionCount == 0 && books.takeReports(now: .max).isEmpty)
    }

    @Test func serversAndQuestionsHaveLimits() throws {
        var books = GhostBooks()
        let limit = UInt64(GhostBooks.serverLimit)
        let question = books.ask(
            Self.servers(1...(limit + 5)), for: ClientID(1), request: 9, now: 0)
        let asked = try #require(question?.asked)
        #expect(asked == (1...limit).map { ClientID(100 + $0) })
        for _ in 1..<GhostBooks.questionLimit { _ = try Self.ask(&books, 1...1) }
        #expect(books.ask([], for: ClientID(1), request: 9, now: 0) == nil)
        for server in asked { books.receive([], from: server, question: 1) }
        let report = try #require(books.takeReports(now: 0).first)
        #expect(report.lines == ["ghost servers: \(limit + 5)", "ghost servers not asked: 5"])
    }
}
