import MasterCore
import Relay
import Testing
import Wire

/// The process space as the master keeps it.
@Suite struct ProcessTests {
    static let client = ClientID(4)

    /// Launches as this user, one rank on each of these nodes.
    /// - Parameter processes: empty: the master chooses the numbers.
    static func launch(
        _ table: inout Table, on nodes: [Int32], processes: [Int32] = [],
        refused: Set<Int32> = [], by caller: Caller = Table.owner, from origin: Int32? = nil,
        wantsStops: Bool = false
    ) -> UInt64 {
        let order = LaunchOrder(
            imageByteCount: 100_000, chunkByteCount: 16384, user: caller.user,
            group: caller.group, supplementaryGroups: [], umask: 0, nice: 0, limits: [],
            descriptors: .forwarded(standardInput: false), directory: "/", command: "a",
            stallMilliseconds: 1000)
        var request = LaunchRequest(
            client: client, caller: caller, nodes: nodes, processes: processes, order: order,
            fanOut: 1000, chunkByteCount: 0, wantsProgress: false, wantsStops: wantsStops,
            origin: origin.map { LaunchOrigin(node: $0, client: 1) })
        request.refusedProcesses = refused
        let launch = table.state.launch(request, now: 1, effects: &table.effects)
        for case .relay(launch, .connect(let node, _)) in table.effects {
            table.state.linkIsReady(
                launch: launch, node: node, link: relayLink(node), now: 1,
                effects: &table.effects)
        }
        return launch
    }

    static func relayLink(_ node: Int32) -> LinkID { LinkID(100 + UInt64(node)) }

    /// The node says that these ranks run.
    static func place(_ table: inout Table, _ launch: UInt64, ranks: [UInt32], on node: Int32) {
        var answer = Answer()
        answer.placed = ranks.map {
            Answer.Placed(rank: $0, undumpNanoseconds: 1, receivedChunkCount: 7)
        }
        let frame = answer.frame(launch: launch, flags: .final)
        table.state.receiveRelay(
            FrameHeader(.answer, launch: launch, flags: .final),
            body: Array(frame[FrameHeader.byteCount...]), from: relayLink(node), now: 2,
            effects: &table.effects)
    }

    static func exit(_ table: inout Table, _ launch: UInt64, rank: UInt32, on node: Int32) throws {
        let frame = ExitRecord.frame([ExitRecord(launch: launch, rank: rank, waitStatus: 0)])
        try table.state.receiveControl(
            FrameHeader(.exit), body: Array(frame[FrameHeader.byteCount...]),
            from: LinkID(UInt64(node) + 1), now: 3, effects: &table.effects)
    }

    /// - Returns: the error number of the refusal, 0 for none.
    static func kill(
        _ table: inout Table, _ process: Int32, _ signal: Int32, job: Bool = false,
        by caller: Caller = Table.owner
    ) -> Int32 {
        do {
            try table.state.kill(
                process, signal: signal, wholeJob: job, by: caller, effects: &table.effects)
            return 0
        } catch {
            #expect(!error.sentence.isEmpty)
            return error.errorNumber
        }
    }

    struct Sent: Equatable {
        let link: UInt64
        let subject: UInt32
        let reach: SignalReach?
        let number: Int32
    }

    /// The signals among the effects, which are taken.
    static func sent(_ table: inout Table) -> [Sent] {
        defer { table.effects.removeAll() }
        return table.effects.compactMap { effect in
            guard case .control(let link, let frame) = effect,
                let header = try? FrameHeader(decoding: frame.span.bytes), header.kind == .signal
            else { return nil }
            return Sent(
                link: link.rawValue, subject: header.subject,
                reach: SignalReach(rawValue: header.stream),
                number: Int32(frame[FrameHeader.byteCount]))
        }
    }

    @Test func everyProcessIsFoundByItsNumber() throws {
        var table = Table()
        let launch = Self.launch(&table, on: [0, 1, 2, 1], processes: [500, 501, 502, 503])
        // Node 2 is down: that rank is no process.
        #expect(table.state.processCount == 3)
        #expect(table.state.process(502) == nil)
        #expect(table.state.process(501)?.isRunning == false)
        Self.place(&table, launch, ranks: [1, 3], on: 1)
        let entry = try #require(table.state.process(503))
        #expect(entry.isRunning && entry.node == 1 && entry.user == 1000)
        #expect(entry.place == RankPlace(launch: launch, rank: 3))
        Self.place(&table, launch, ranks: [0], on: 0)
        try Self.exit(&table, launch, rank: 1, on: 1)
        #expect(table.state.process(501) == nil)
        #expect(table.state.processes(on: 1, after: nil, limit: 10).entries == [entry])
        // A node that dies takes its processes along.
        table.state.controlIsLost(LinkID(2), reason: "", now: 4, effects: &table.effects)
        #expect(table.state.process(503) == nil)
        #expect(table.state.processCount == 1)
        try Self.exit(&table, launch, rank: 0, on: 0)
        #expect(table.state.book.allSatisfy { $0.count == 0 }, "\(table.state.book)")
    }

    @Test(arguments: [1, 2, 3, 7, 2048])
    func pagesMakeTheWholeList(limit: Int) throws {
        var table = Table()
        let count = limit < 100 ? 40 : 10_000
        let first = Self.launch(&table, on: Array(repeating: 0, count: count))
        let second = Self.launch(&table, on: Array(repeating: 1, count: count + 1))
        Self.place(&table, first, ranks: Array(0..<UInt32(count)), on: 0)
        Self.place(&table, second, ranks: Array(0...UInt32(count)), on: 1)
        try Self.exit(&table, first, rank: 0, on: 0)
        for (node, wanted) in [(nil, 2 * count), (0, count - 1), (1, count + 1), (2, 0)]
            as [(Int32?, Int)]
        {
            var numbers: [Int32] = []
            var place: RankPlace?
            while true {
                let page = table.state.processes(on: node, after: place, limit: limit)
                #expect(page.entries.count <= limit)
                numbers += page.entries.map(\.process)
                guard !page.isLast else { break }
                place = try #require(page.entries.last?.place)
            }
            #expect(numbers.count == wanted)
            #expect(Set(numbers).count == wanted)
        }
    }

    @Test func whoMaySignalToWhom() {
        var table = Table()
        let launch = Self.launch(&table, on: [0, 1], processes: [500, 501])
        Self.place(&table, launch, ranks: [0], on: 0)
        Self.place(&table, launch, ranks: [1], on: 1)
        _ = Self.sent(&table)
        #expect(Self.kill(&table, 499, 15) == FailureCode.noProcess)
        #expect(Self.kill(&table, 0, 15) == FailureCode.invalidArgument)
        #expect(Self.kill(&table, -500, 15) == FailureCode.invalidArgument)
        #expect(Self.kill(&table, 500, 65) == FailureCode.invalidArgument)
        #expect(Self.kill(&table, 500, -1) == FailureCode.invalidArgument)
        #expect(Self.kill(&table, 500, 15, by: Table.other) == FailureCode.notPermitted)
        #expect(Self.kill(&table, 500, 0, by: Table.other) == FailureCode.notPermitted)
        #expect(Self.kill(&table, 500, 0) == 0)
        #expect(Self.sent(&table) == [])
        #expect(Self.kill(&table, 501, 15, by: Table.root) == 0)
        #expect(
            Self.sent(&table) == [Sent(link: 2, subject: 1, reach: .process, number: 15)])
        #expect(Self.kill(&table, 500, 9, job: true) == 0)
        #expect(
            Self.sent(&table) == [
                Sent(link: 1, subject: .max, reach: .descendants, number: 9),
                Sent(link: 2, subject: .max, reach: .descendants, number: 9),
            ])
    }

    @Test func signalsWaitForTheirProcess() throws {
        var table = Table()
        let launch = Self.launch(&table, on: [0, 1], processes: [500, 501])
        Self.place(&table, launch, ranks: [0], on: 0)
        _ = Self.sent(&table)
        for number: Int32 in [10, 34, 10, 34, 15] {
            #expect(Self.kill(&table, 501, number) == 0)
        }
        // The job's other process is there, and gets its part at once.
        #expect(Self.kill(&table, 501, 1, job: true) == 0)
        #expect(
            Self.sent(&table) == [
                Sent(link: 1, subject: .max, reach: .descendants, number: 1)
            ])
        Self.place(&table, launch, ranks: [1], on: 1)
        let wanted: [Int32] = [10, 34, 34, 15, 1]
        let sent = Self.sent(&table)
        #expect(sent.map(\.number) == wanted)
        #expect(sent.allSatisfy { $0.link == 2 && $0.subject == 1 })
        // Once only.
        #expect(Self.kill(&table, 501, 2) == 0)
        #expect(Self.sent(&table).map(\.number) == [2])
    }

    @Test func keptSignalsAreBoundedAndGoWithTheirProcess() {
        var table = Table()
        _ = Self.launch(&table, on: [0, 1], processes: [500, 501])
        for _ in 0..<1000 { #expect(Self.kill(&table, 501, 40) == 0) }
        #expect(table.state.book.contains { $0.name == "kept signals" && $0.count == 1 })
        table.state.controlIsLost(LinkID(2), reason: "", now: 4, effects: &table.effects)
        #expect(Self.kill(&table, 501, 40) == FailureCode.noProcess)
        #expect(table.state.book.contains { $0.name == "kept signals" && $0.count == 0 })
        #expect(Self.sent(&table) == [])
    }

    /// By number, until the number is given again.
    @Test func theDeathOfANodeIsRememberedForItsProcesses() throws {
        var table = Table()
        let launch = Self.launch(&table, on: [0, 1], processes: [500, 501])
        Self.place(&table, launch, ranks: [0], on: 0)
        Self.place(&table, launch, ranks: [1], on: 1)
        table.state.controlIsLost(
            LinkID(1), reason: "it is gone", now: 3, effects: &table.effects)
        #expect(table.state.lostProcesses[500]?.entry.node == 0)
        try Self.exit(&table, launch, rank: 1, on: 1)
        #expect(table.state.lostProcesses[501] == nil)
        _ = Self.launch(&table, on: [1], processes: [500])
        #expect(table.state.lostProcesses[500] == nil)
    }

    /// What a node's ghosts are called may be another process's number: those ranks fail alone, as
    /// if the node that they are meant for had such a process.
    @Test func aNumberFromANodeIsNotGivenTwice() throws {
        var table = Table()
        let first = Self.launch(&table, on: [0], processes: [500])
        Self.place(&table, first, ranks: [0], on: 0)
        table.effects.removeAll()
        let second = Self.launch(
            &table, on: [1, 1, 1], processes: [500, 501, 502], refused: [501], from: 0)
        let failures = table.effects.compactMap { effect -> Answer.Failure? in
            if case .failed(_, let failure) = effect { failure } else { nil }
        }
        #expect(failures.map(\.rank) == [0, 1])
        #expect(
            failures.allSatisfy {
                $0.stage == .spawn && $0.errorNumber == FailureCode.alreadyExists
            })
        #expect(table.state.process(500)?.place.launch == first)
        #expect(table.state.process(501) == nil)
        #expect(table.state.process(502)?.place.launch == second)
    }

    static func stop(_ table: inout Table, _ record: StopRecord, on node: Int32) throws {
        let frame = StopRecord.frame([record])
        try table.state.receiveControl(
            FrameHeader(.stop), body: Array(frame[FrameHeader.byteCount...]),
            from: LinkID(UInt64(node) + 1), now: 3, effects: &table.effects)
    }

    static func stops(_ table: inout Table) -> [StopRecord] {
        defer { table.effects.removeAll() }
        return table.effects.compactMap {
            guard case .stopped(client, let record) = $0 else { return nil }
            return record
        }
    }

    /// Its client hears of the stop of a rank when it knows the rank; of no other node's ranks, and
    /// only if it has asked for it.
    @Test(arguments: [true, false]) func stopsAreTold(wantsStops: Bool) throws {
        var table = Table()
        let launch = Self.launch(
            &table, on: [0, 1], processes: [500, 501], wantsStops: wantsStops)
        func record(_ rank: UInt32, _ signal: Int32) -> StopRecord {
            StopRecord(launch: launch, rank: rank, signal: signal, sequence: 3)
        }
        Self.place(&table, launch, ranks: [0], on: 0)
        try Self.stop(&table, record(0, 19), on: 0)
        #expect(Self.stops(&table) == [])
        Self.place(&table, launch, ranks: [1], on: 1)
        #expect(Self.stops(&table) == (wantsStops ? [record(0, 19)] : []))
        try Self.stop(&table, record(0, 0), on: 0)
        try Self.stop(&table, record(1, 20), on: 1)
        #expect(Self.stops(&table) == (wantsStops ? [record(0, 0), record(1, 20)] : []))
        try Self.stop(&table, record(1, 19), on: 0)
        try Self.stop(&table, record(2, 19), on: 0)
        try Self.exit(&table, launch, rank: 1, on: 1)
        try Self.stop(&table, record(1, 19), on: 1)
        #expect(Self.stops(&table) == [])
    }

    /// What the nodes are sent of these kinds, by node.
    static func frames(_ table: inout Table, _ kinds: Set<FrameKind>) -> [String] {
        defer { table.effects.removeAll() }
        return table.effects.compactMap {
            guard case .control(let link, let frame) = $0,
                let header = try? FrameHeader(decoding: frame.span.bytes),
                kinds.contains(header.kind)
            else { return nil }
            return "\(header.kind) \(link.rawValue - 1)"
        }.sorted()
    }

    /// Its ranks go on, with nobody at their streams, and nobody is told of their ends.
    @Test func ranksThatAreKeptOutliveTheirClient() throws {
        var table = Table()
        let launch = Self.launch(&table, on: [0, 1], processes: [500, 501])
        // Nobody has been told of them.
        table.state.keep(launch)
        #expect(!table.state.isKept(launch))
        Self.place(&table, launch, ranks: [0], on: 0)
        Self.place(&table, launch, ranks: [1], on: 1)
        table.state.keep(launch)
        table.effects.removeAll()
        table.state.clientIsGone(Self.client, now: 3, effects: &table.effects)
        #expect(
            Self.frames(&table, [.abort, .input, .outputClosed])
                == ["input 0", "input 1", "outputClosed 0", "outputClosed 1"])
        #expect(table.state.process(500)?.isRunning == true)
        #expect(Self.kill(&table, 501, 15) == 0)
        #expect(Self.sent(&table).map(\.number) == [15])
        try Self.exit(&table, launch, rank: 0, on: 0)
        try Self.exit(&table, launch, rank: 1, on: 1)
        #expect(
            !table.effects.contains { if case .exited = $0 { true } else { false } })
        #expect(table.state.processCount == 0)
        #expect(table.state.launchCount == 0)
    }

    /// What has taken their caller's place hears of them, and their job ends with it.
    @Test func ranksThatAreKeptEndWithTheirGhosts() throws {
        var table = Table()
        let server = ClientID(5)
        let launch = Self.launch(&table, on: [0, 1], processes: [500, 501])
        Self.place(&table, launch, ranks: [0], on: 0)
        Self.place(&table, launch, ranks: [1], on: 1)
        table.state.keep(launch)
        table.state.clientIsGone(
            Self.client, successor: server, now: 3, effects: &table.effects)
        table.effects.removeAll()
        try Self.exit(&table, launch, rank: 0, on: 0)
        #expect(
            table.effects.contains {
                if case .exited(server, let exit) = $0 { exit.rank == 0 } else { false }
            })
        table.effects.removeAll()
        table.state.clientIsGone(server, now: 4, effects: &table.effects)
        #expect(Self.frames(&table, [.abort]) == ["abort 0", "abort 1"])
    }

    /// A process that moves on keeps its number: the one that it leaves behind is not it.
    @Test func theLatestOfANumberIsTheProcess() throws {
        var table = Table()
        let first = Self.launch(&table, on: [0], processes: [500])
        Self.place(&table, first, ranks: [0], on: 0)
        let second = Self.launch(&table, on: [1], processes: [500])
        Self.place(&table, second, ranks: [0], on: 1)
        #expect(table.state.process(500)?.node == 1)
        #expect(table.state.processes(on: nil, after: nil, limit: 9).entries.map(\.node) == [1])
        try Self.exit(&table, first, rank: 0, on: 0)
        #expect(table.state.process(500)?.node == 1)
        try Self.exit(&table, second, rank: 0, on: 1)
        #expect(table.state.process(500) == nil)
        #expect(table.state.processCount == 0)
    }
}
