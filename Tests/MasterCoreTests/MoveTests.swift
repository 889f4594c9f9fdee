import MasterCore
import Relay
import Testing
import Wire

/// Ranks that move from node to node: to their caller they are what they were.
@Suite struct MoveTests {
    /// Who moves: a client of node 0, which the first rank of the first launch is.
    private static let traveller = ClientID(9)

    /// A rank of another launch on node 0 moves to node 1.
    /// - Returns: its launch there.
    private static func move(
        _ table: inout Table, _ launch: UInt64, leaves: Bool = true,
        flags: LaunchOrder.Flags = []
    ) throws -> UInt64 {
        let order = LaunchOrder(
            imageByteCount: 100_000, chunkByteCount: 16384, user: Table.owner.user,
            group: Table.owner.group, supplementaryGroups: [], umask: 0, nice: 0, limits: [],
            descriptors: .forwarded(standardInput: false), directory: "/", command: "a",
            stallMilliseconds: 1000)
        var request = LaunchRequest(
            client: traveller, caller: Table.owner, nodes: [1], processes: [500], order: order,
            fanOut: 1, chunkByteCount: 0, wantsProgress: false,
            origin: LaunchOrigin(node: 0, client: 1))
        request.order.flags = flags.union([.numbered, .anyPid])
        request.isMove = true
        let mover = ClientLaunch.Mover(launch: launch, rank: 0, leaves: leaves)
        #expect(table.state.process(of: mover, on: 1, by: Table.owner) == nil)
        #expect(table.state.process(of: mover, on: 0, by: Table.other) == nil)
        #expect(table.state.process(of: mover, on: 0, by: Table.owner) == 500)
        request.mover = mover
        let next = table.state.launch(request, now: 1, effects: &table.effects)
        // It may run, and write, before the answer is here.
        #expect(table.state.isArriving(launch: next))
        var answer = Answer()
        answer.placed = [
            Answer.Placed(rank: 0, undumpNanoseconds: 1, receivedChunkCount: 7)
        ]
        let frame = answer.frame(launch: next, flags: .final)
        try table.state.receiveControl(
            FrameHeader(.answer, launch: next, flags: .final),
            body: Array(frame[FrameHeader.byteCount...]), from: LinkID(1), now: 2,
            effects: &table.effects)
        return next
    }

    private static func arrival(
        of launch: UInt64, heardBy client: ClientID = ProcessTests.client
    ) -> MasterEffect {
        .hasArrived(launch: launch, listener: RankListener(client: client, rank: 0))
    }

    private static func begin(_ table: inout Table) -> UInt64 {
        let launch = ProcessTests.launch(
            &table, on: [0, 1], processes: [500, 501], wantsStops: true)
        ProcessTests.place(&table, launch, ranks: [0], on: 0)
        ProcessTests.place(&table, launch, ranks: [1], on: 1)
        table.effects.removeAll()
        return launch
    }

    private static func exits(_ table: inout Table) -> [RankExit] {
        defer { table.effects.removeAll() }
        return table.effects.compactMap {
            guard case .exited(ProcessTests.client, let exit) = $0 else { return nil }
            return exit
        }
    }

    @Test func theNewProcessIsTheRank() throws {
        var table = Table()
        let launch = Self.begin(&table)
        let next = try Self.move(&table, launch)
        #expect(table.effects.contains(.left(Self.traveller)))
        let mover = ClientLaunch.Mover(launch: next, rank: 0, leaves: true)
        #expect(table.state.isArriving(mover) && table.state.isArriving(launch: next))
        #expect(table.state.process(500)?.node == 1)
        #expect(table.state.listener(to: 0, launch: next, node: 1)?.client == ProcessTests.client)
        #expect(table.state.route(to: 0, launch: launch)?.place.launch == next)
        table.effects.removeAll()
        // The caller's and everybody's signals go where it is, those to its job too.
        #expect(ProcessTests.kill(&table, 500, 15) == 0)
        table.state.signal(
            launch, rank: 0, RankSignal(10, reach: .process, sequence: 4),
            effects: &table.effects)
        #expect(ProcessTests.sent(&table).map(\.link) == [2, 2])
        #expect(ProcessTests.kill(&table, 500, 12, job: true) == 0)
        #expect(ProcessTests.sent(&table).count == 2)
        // It is over sooner than what it was.
        try ProcessTests.exit(&table, next, rank: 0, on: 1)
        #expect(Self.exits(&table) == [])
        try ProcessTests.exit(&table, launch, rank: 0, on: 0)
        #expect(table.effects.contains(Self.arrival(of: next)))
        #expect(Self.exits(&table).map(\.rank) == [0])
        #expect(table.state.process(500) == nil)
        try ProcessTests.exit(&table, launch, rank: 1, on: 1)
        #expect(Self.exits(&table).map(\.rank) == [1])
        #expect(table.state.book.allSatisfy { $0.count == 0 }, "\(table.state.book)")
    }

    /// A stop is told as the rank's, with the number that its caller waits for; one of the process
    /// that leaves is passed on, and that one goes on.
    @Test func stopsGoWithIt() throws {
        var table = Table()
        let launch = Self.begin(&table)
        table.state.signal(
            launch, rank: 0, RankSignal(18, reach: .process, sequence: 6),
            effects: &table.effects)
        let next = try Self.move(&table, launch)
        table.effects.removeAll()
        let own = StopRecord(launch: next, rank: 0, signal: 19, sequence: 0)
        try ProcessTests.stop(&table, own, on: 1)
        #expect(
            ProcessTests.stops(&table)
                == [StopRecord(launch: launch, rank: 0, signal: 19, sequence: 6)])
        let old = StopRecord(launch: launch, rank: 0, signal: 19, sequence: 6)
        try ProcessTests.stop(&table, old, on: 0)
        let sent = ProcessTests.sent(&table)
        #expect(sent.map(\.link) == [2, 1])
        #expect(sent.map(\.number) == [19, 18])
        try ProcessTests.exit(&table, launch, rank: 0, on: 0)
        try ProcessTests.stop(&table, old, on: 0)
        #expect(table.effects.filter { $0 != Self.arrival(of: next) } == [])
    }

    /// Where something of it stays, that hears what it writes, from its first word on.
    @Test func whatStaysHearsIt() throws {
        var table = Table()
        let launch = Self.begin(&table)
        let next = try Self.move(&table, launch, leaves: false)
        #expect(!table.state.isArriving(launch: next))
        #expect(table.effects.contains(Self.arrival(of: next, heardBy: Self.traveller)))
    }

    @Test func aDeadNodeHasLetItGo() throws {
        var table = Table()
        let launch = Self.begin(&table)
        let next = try Self.move(&table, launch)
        table.state.controlIsLost(LinkID(1), reason: "", now: 4, effects: &table.effects)
        #expect(!table.state.isArriving(launch: next))
        #expect(table.state.process(500)?.node == 1)
        table.effects.removeAll()
        table.state.controlIsLost(LinkID(2), reason: "", now: 5, effects: &table.effects)
        let exits = Self.exits(&table)
        #expect(exits.map(\.rank).sorted() == [0, 1])
        #expect(exits.allSatisfy { $0.cause == .nodeDied })
        #expect(table.state.book.allSatisfy { $0.count == 0 }, "\(table.state.book)")
    }

    @Test func theEndOfTheCallerEndsIt() throws {
        var table = Table()
        let launch = Self.begin(&table)
        let next = try Self.move(&table, launch)
        try ProcessTests.exit(&table, launch, rank: 0, on: 0)
        table.effects.removeAll()
        // Who has moved is no caller any more.
        table.state.clientIsGone(Self.traveller, now: 5, effects: &table.effects)
        #expect(table.effects == [])
        table.state.clientIsGone(ProcessTests.client, now: 5, effects: &table.effects)
        let frame = FrameHeader.frame(FrameHeader(.abort, launch: next))
        #expect(table.effects.contains(.control(LinkID(2), frame: frame)))
    }

    /// A process that must leave something behind has a launch of its own.
    @Test func aStandInStays() throws {
        var table = Table()
        let launch = Self.begin(&table)
        let next = try Self.move(&table, launch, leaves: false)
        #expect(!table.effects.contains(.left(Self.traveller)))
        #expect(!table.state.isArriving(launch: next))
        #expect(table.state.process(500)?.node == 1)
        table.effects.removeAll()
        // Where it is not any more, its stand-in is the process of that number.
        try ProcessTests.exit(&table, next, rank: 0, on: 1)
        #expect(table.state.process(500)?.node == 0)
    }

    /// It goes on in its ghost: its slave's word that it is there is the end of the rank, and until
    /// what it was has left it does not move again.
    @Test func aRankComesHome() throws {
        var table = Table()
        let launch = Self.begin(&table)
        let mover = ClientLaunch.Mover(launch: launch, rank: 0, leaves: true)
        var order = try #require(table.state.order(of: launch))
        #expect(
            table.state.callerWithGhost(of: mover, moving: order) == ProcessTests.client)
        // It has taken on other rights than its ghost has.
        order.group += 1
        #expect(table.state.callerWithGhost(of: mover, moving: order) == nil)
        let next = try Self.move(&table, launch, flags: .home)
        #expect(table.state.unknownLaunch(ofArrival: next) == nil)
        #expect(table.state.homecoming(of: 500) == next)
        // The streams of what it was are its last ones as a rank.
        #expect(!table.state.streamsGoOn(of: 0, launch: launch))
        table.effects.removeAll()
        table.state.signal(
            launch, rank: 0, RankSignal(10, reach: .process), effects: &table.effects)
        #expect(
            table.effects
                == [.signalHere(process: 500, user: Table.owner.user, signal: 10)])
        try ProcessTests.exit(&table, next, rank: 0, on: 1)
        #expect(Self.exits(&table) == [])
        try ProcessTests.exit(&table, launch, rank: 0, on: 0)
        #expect(table.state.homecoming(of: 500) == nil)
        let exits = Self.exits(&table)
        #expect(exits.map(\.rank) == [0] && exits.map(\.cause) == [.home])
        try ProcessTests.exit(&table, launch, rank: 1, on: 1)
        #expect(table.state.book.allSatisfy { $0.count == 0 }, "\(table.state.book)")
    }
}
