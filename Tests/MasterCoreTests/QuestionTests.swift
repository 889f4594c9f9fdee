import MasterCore
import Relay
import Testing
import Wire

/// Questions to nodes: everybody's answer counts, and nobody's silence.
@Suite struct QuestionTests {
    static func entry(_ launch: UInt64, _ rank: UInt32, isDescendant: Bool = false)
        -> ProcessReport.Entry
    {
        ProcessReport.Entry(
            launch: launch, rank: rank, isDescendant: isDescendant, localProcess: 7,
            localParent: 1, user: 1000, state: 83, userMicroseconds: 1, systemMicroseconds: 2,
            elapsedMicroseconds: 3, residentByteCount: 4, command: "a")
    }

    static func report(
        _ table: inout Table, _ entries: [ProcessReport.Entry], number: UInt32, from link: UInt64,
        isLast: Bool = true
    ) throws {
        let frame = ProcessReport(entries: entries).frame(number: number, isLast: isLast)
        let header = try FrameHeader(decoding: frame.span.bytes)
        try table.state.receiveControl(
            header, body: Array(frame[FrameHeader.byteCount...]), from: LinkID(link), now: 2,
            effects: &table.effects)
    }

    /// Ranks 0 and 1 on nodes 0 and 1, as processes 500 and 501.
    static func running() -> (table: Table, launch: UInt64) {
        var table = Table()
        let launch = ProcessTests.launch(&table, on: [0, 1], processes: [500, 501])
        for node: Int32 in 0...1 {
            ProcessTests.place(&table, launch, ranks: [UInt32(node)], on: node)
        }
        table.effects.removeAll()
        return (table, launch)
    }

    static func ask(_ table: inout Table, node: Int32? = nil) throws -> UInt32 {
        try table.state.askForProcesses(
            on: node, patienceNanoseconds: 1_000_000, now: 1, effects: &table.effects)
    }

    @Test func answersComeAsTheyAreGiven() throws {
        var (table, launch) = Self.running()
        let number = try Self.ask(&table)
        #expect(table.effects.count == 2)
        table.effects.removeAll()
        try Self.report(&table, [Self.entry(launch, 1)], number: number, from: 2)
        #expect(
            table.effects == [
                .nodeAnswers(
                    number, 1,
                    .processes([
                        ProcessStatus(process: 501, node: 1, report: Self.entry(launch, 1))
                    ]))
            ])
        table.effects.removeAll()
        // In two parts; what it says of others' ranks is not heard.
        try Self.report(
            &table, [Self.entry(launch, 1), Self.entry(launch, 99), Self.entry(9, 0)],
            number: number, from: 1, isLast: false)
        #expect(table.effects == [])
        let descendant = Self.entry(launch, 0, isDescendant: true)
        try Self.report(&table, [descendant], number: number, from: 1)
        #expect(
            table.effects == [
                .nodeAnswers(
                    number, 0,
                    .processes([ProcessStatus(process: 0, node: 0, report: descendant)])),
                .questionIsOver(number),
            ])
        table.effects.removeAll()
        // It has been answered.
        try Self.report(&table, [Self.entry(launch, 0)], number: number, from: 1)
        #expect(table.effects == [])
    }

    @Test func aSilentNodeIsNamedInItsTime() throws {
        var (table, launch) = Self.running()
        let number = try Self.ask(&table)
        try Self.report(&table, [Self.entry(launch, 0)], number: number, from: 1)
        #expect(table.state.deadlineNanoseconds == 1_000_001)
        table.effects.removeAll()
        table.state.tick(now: 1_000_001, effects: &table.effects)
        #expect(
            table.effects.contains(
                .nodeAnswers(number, 1, .silent(errorNumber: FailureCode.timedOut))))
        #expect(table.effects.last == .questionIsOver(number))
        #expect(table.state.book.contains { $0.name == "unanswered questions" && $0.count == 0 })
    }

    @Test func aNodeThatDiesIsNamedAtOnce() throws {
        var (table, _) = Self.running()
        let number = try Self.ask(&table, node: 1)
        table.state.controlIsLost(LinkID(2), reason: "", now: 2, effects: &table.effects)
        #expect(
            table.effects.contains(
                .nodeAnswers(number, 1, .silent(errorNumber: FailureCode.slaveDied))))
        #expect(table.effects.contains(.questionIsOver(number)))
    }

    @Test func whereNothingRunsNobodyIsAsked() throws {
        var table = Table()
        let number = try Self.ask(&table)
        #expect(table.effects == [.questionIsOver(number)])
        #expect(throws: NodeRefusal.self) { try Self.ask(&table, node: 2) }
        #expect(throws: NodeRefusal.self) { try Self.ask(&table, node: 5) }
    }

    @Test func questionsAreBounded() throws {
        var (table, _) = Self.running()
        for _ in 0..<64 { _ = try Self.ask(&table) }
        #expect(throws: NodeRefusal.self) { try Self.ask(&table) }
        table.state.dropQuestion(1)
        _ = try Self.ask(&table)
    }

    @Test func aBookIsOneNodes() throws {
        var (table, _) = Self.running()
        let number = try table.state.askForBook(
            of: 0, patienceNanoseconds: 9, now: 1, effects: &table.effects)
        // From another node, and as the answer to another question.
        for (link, subject) in [(2, number), (1, number + 1)] as [(UInt64, UInt32)] {
            try table.state.receiveControl(
                FrameHeader(.book, subject: subject), body: [65], from: LinkID(link), now: 2,
                effects: &table.effects)
        }
        table.effects.removeAll()
        try table.state.receiveControl(
            FrameHeader(.book, subject: number), body: [66], from: LinkID(1), now: 2,
            effects: &table.effects)
        #expect(table.effects == [.nodeAnswers(number, 0, .book("B")), .questionIsOver(number)])
    }
}
