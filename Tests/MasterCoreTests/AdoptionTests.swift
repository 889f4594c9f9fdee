import MasterCore
import Relay
import Testing
import Wire

/// Slaves that bring processes from another master: what is believed, and what becomes of them.
@Suite struct AdoptionTests {
    private static let user: UInt32 = 54321

    private struct Cluster {
        var state: MasterState
        var effects: [MasterEffect] = []
        var now: UInt64 = 1_000_000_000

        init() {
            state = MasterState(
                configuration: MasterState.Configuration(
                    nodeCount: 4, pingTimeoutNanoseconds: 10_000_000_000),
                firstLaunch: 70, identity: 42, cookieSeed: 7, now: now)
        }

        mutating func hello(_ node: Int32, keptCount: UInt32, master: UInt64 = 41, link: UInt64) {
            var hello = Hello(role: .slave, node: node, address: .unspecified, incarnation: 1)
            hello.membership = Membership(master: master, cookie: 1)
            hello.keptCount = keptCount
            effects.removeAll()
            state.receiveHello(
                hello, peer: NodeAddress(ipv4: 10, 0, 0, 1, port: 9), from: LinkID(link),
                now: now, effects: &effects)
        }

        mutating func tell(
            _ kept: KeptLaunch, isLast: Bool = true, taken: Set<Int32> = [], byteCount: Int = 100,
            link: UInt64
        ) {
            effects.removeAll()
            state.receiveKept(
                kept, byteCount: byteCount, isLast: isLast, from: LinkID(link), now: now,
                isTaken: { taken.contains($0) }, effects: &effects)
        }

        /// What the slave of a link has been told of its processes, if it has been let in.
        func adoption(link: UInt64) throws -> [Adoption.Place]? {
            let isWelcome = effects.contains {
                if case .welcome(LinkID(link), _) = $0 { true } else { false }
            }
            for case .control(LinkID(link), let frame) in effects
            where FrameHeader.kind(of: frame) == .adoption {
                let body = Array(frame[FrameHeader.byteCount...])
                return isWelcome ? try Adoption(decoding: body).places : nil
            }
            return nil
        }

        func refusal(link: UInt64) -> String? {
            for case .refuse(LinkID(link), let reason) in effects { return reason }
            return nil
        }
    }

    private static func kept(
        _ launch: UInt64 = 5, _ ranks: [(UInt32, Int32)], user: UInt32 = user
    ) -> KeptLaunch {
        KeptLaunch(
            launch: launch, user: user, group: 1, supplementaryGroups: [2],
            ranks: ranks.map { KeptLaunch.Rank(rank: $0, process: $1) })
    }

    @Test func processesAreListedSignalledAndForgotten() throws {
        var cluster = Cluster()
        cluster.hello(1, keptCount: 3, link: 1)
        // It has no place before it has told all.
        #expect(
            cluster.effects
                == [
                    .control(
                        LinkID(1), frame: FrameHeader.frame(FrameHeader(.keptRequest)))
                ])
        #expect(cluster.state.nodes.record(of: 1)?.isUp == false)
        cluster.tell(Self.kept(5, [(0, 500), (3, 501)]), isLast: false, link: 1)
        #expect(cluster.effects.isEmpty)
        cluster.tell(Self.kept(6, [(0, 502)], user: 0), taken: [501], link: 1)
        let places = try #require(try cluster.adoption(link: 1))
        // 501 is a process of this machine.
        #expect(places.map(\.process) == [500, ProcessNumber.first, 502])
        #expect(places.map(\.rank) == [0, 1, 0] && places[0].launch == places[1].launch)
        #expect(places[2].launch != places[0].launch)
        let list = cluster.state.processes(on: nil, after: nil, limit: 10).entries
        #expect(list.map(\.process) == places.map(\.process))
        #expect(list.map(\.user) == [Self.user, Self.user, 0])
        #expect(list.allSatisfy { $0.node == 1 && $0.isRunning })

        let caller = Caller(user: Self.user, group: 1, supplementaryGroups: [])
        cluster.effects.removeAll()
        try cluster.state.kill(
            500, signal: 15, wholeJob: false, by: caller, effects: &cluster.effects)
        let signal = RankSignal(15, reach: .process).frame(launch: places[0].launch, rank: 0)
        #expect(cluster.effects == [.control(LinkID(1), frame: signal)])
        #expect(throws: NodeRefusal.self) {
            try cluster.state.kill(
                502, signal: 15, wholeJob: false, by: caller, effects: &cluster.effects)
        }
        // What a slave says of itself gives it no rights elsewhere.
        #expect(cluster.state.refusal(of: caller, on: 1) != nil)
        let mover = ClientLaunch.Mover(
            launch: places[0].launch, rank: places[0].rank, leaves: true)
        #expect(cluster.state.process(of: mover, on: 1, by: caller) == nil)

        for place in places {
            let record = ExitRecord(launch: place.launch, rank: place.rank, waitStatus: 0)
            let frame = ExitRecord.frame([record])
            try cluster.state.receiveControl(
                FrameHeader(.exit), body: Array(frame[FrameHeader.byteCount...]),
                from: LinkID(1), now: cluster.now, effects: &cluster.effects)
        }
        #expect(cluster.state.processCount == 0)
        #expect(cluster.state.book.allSatisfy { $0.count == 0 }, "\(cluster.state.book)")
    }

    /// The nodes of a job come one after the other, and it is one job again.
    @Test func nodesOfOneJobMeetAgain() throws {
        var cluster = Cluster()
        var launches: [UInt64] = []
        for node in [Int32(0), 1, 2] {
            // Another master's launch of the same number is another job.
            cluster.hello(
                node, keptCount: 1, master: node == 2 ? 40 : 41, link: UInt64(node) + 1)
            cluster.tell(
                Self.kept(5, [(UInt32(node), 500 + node)]), link: UInt64(node) + 1)
            launches += try #require(try cluster.adoption(link: UInt64(node) + 1)).map(\.launch)
        }
        #expect(launches[0] == launches[1] && launches[1] != launches[2])
        let caller = Caller(user: Self.user, group: 1, supplementaryGroups: [])
        cluster.effects.removeAll()
        try cluster.state.kill(
            500, signal: 9, wholeJob: true, by: caller, effects: &cluster.effects)
        #expect(cluster.effects.count == 2)
        // One of them is lost, the others stay.
        cluster.state.controlIsLost(
            LinkID(1), reason: "gone", now: cluster.now, effects: &cluster.effects)
        #expect(cluster.state.processCount == 2)
        #expect(cluster.state.lostProcesses[500]?.cause == .nodeDied)
    }

    /// As many ranks as a frame holds.
    private static func full(part: UInt32) -> KeptLaunch {
        var launch = kept(5, [])
        for index in 0..<UInt32(KeptLaunch.frameRankLimit) {
            let rank = part * UInt32(KeptLaunch.frameRankLimit) + index
            launch.ranks.append(KeptLaunch.Rank(rank: rank, process: Int32(rank) + 1))
        }
        return launch
    }

    @Test func liesAreRefused() throws {
        let table: [(sentence: String, parts: [KeptLaunch])] = [
            ("rank 0 of launch 5 is told twice", [Self.kept(5, [(0, 500), (0, 501)])]),
            ("process 500 is told twice", [Self.kept(5, [(0, 500)]), Self.kept(6, [(0, 500)])]),
            (
                "launch 5 is told twice",
                [Self.kept(5, [(0, 500)]), Self.kept(6, [(0, 501)]), Self.kept(5, [(1, 502)])]
            ),
            (
                "launch 5 has two users",
                [Self.kept(5, [(0, 500)]), Self.kept(5, [(1, 501)], user: 0)]
            ),
            (
                "a slave brings 16384 processes at most",
                (0..<5).map { Self.full(part: $0) }
            ),
        ]
        for (sentence, parts) in table {
            var cluster = Cluster()
            cluster.hello(1, keptCount: 2, link: 1)
            for (index, part) in parts.enumerated() {
                #expect(cluster.refusal(link: 1) == nil)
                cluster.tell(part, isLast: index == parts.count - 1, link: 1)
            }
            #expect(cluster.refusal(link: 1) == sentence)
            #expect(cluster.state.processCount == 0)
            #expect(cluster.state.nodes.record(of: 1)?.isUp == false)
            #expect(cluster.state.book.allSatisfy { $0.count == 0 })
        }
    }

    @Test func aSlaveIsBoundBeforeItTellsAnything() {
        var cluster = Cluster()
        cluster.hello(1, keptCount: .max, link: 1)
        #expect(cluster.refusal(link: 1) == "a slave brings 16384 processes at most")
        cluster.hello(9, keptCount: 1, link: 1)
        #expect(cluster.refusal(link: 1)?.contains("node 9 is not configured") == true)
        cluster.hello(Hello.noNode, keptCount: 1, link: 1)
        #expect(cluster.refusal(link: 1)?.contains("which node it is") == true)
        cluster.hello(1, keptCount: 1, link: 1)
        #expect(cluster.refusal(link: 1) == nil)
        cluster.hello(1, keptCount: 1, link: 2)
        #expect(cluster.refusal(link: 2) == "node 1 is about to be let in")
        // Many bytes, of groups.
        cluster.tell(Self.kept(5, [(0, 500)]), isLast: false, byteCount: 5 << 20, link: 1)
        #expect(cluster.refusal(link: 1) == "a slave brings 16384 processes at most")
        // Who is silent, or tells what nobody has asked for.
        cluster.hello(1, keptCount: 1, link: 3)
        cluster.effects.removeAll()
        cluster.now += 11_000_000_000
        cluster.state.tick(now: cluster.now, effects: &cluster.effects)
        #expect(cluster.refusal(link: 3) == "it has not told what it brings along")
        cluster.tell(Self.kept(5, [(0, 500)]), link: 3)
        #expect(cluster.refusal(link: 3) == "nobody has asked what it brings")
        #expect(cluster.state.book.allSatisfy { $0.count == 0 })
    }

    /// Somebody takes the place while the slave tells: it is refused, and stays where it was.
    @Test func aPlaceThatIsTakenMeanwhileIsRefused() throws {
        var cluster = Cluster()
        cluster.hello(1, keptCount: 1, link: 1)
        cluster.hello(1, keptCount: 0, master: 0, link: 2)
        #expect(cluster.state.nodes.record(of: 1)?.isUp == true)
        cluster.tell(Self.kept(5, [(0, 500)]), link: 1)
        #expect(cluster.refusal(link: 1)?.contains("node 1 is connected already") == true)
        #expect(cluster.state.processCount == 0)
    }

    /// A process of the front end that gets the number of one that has come keeps it.
    @Test func aNumberIsGivenUpForOneOfThisMachine() throws {
        var cluster = Cluster()
        cluster.hello(1, keptCount: 1, link: 1)
        cluster.tell(Self.kept(5, [(0, 500)]), link: 1)
        let order = LaunchOrder(
            imageByteCount: 100_000, chunkByteCount: 16384, user: 0, group: 0,
            supplementaryGroups: [], umask: 0, nice: 0, limits: [], descriptors: .listed([]),
            directory: "/", command: "a", stallMilliseconds: 1000)
        _ = cluster.state.launch(
            LaunchRequest(
                client: ClientID(1), caller: Caller(user: 0, group: 0, supplementaryGroups: []),
                nodes: [1], processes: [500], order: order, fanOut: 2, chunkByteCount: 0,
                wantsProgress: false), now: cluster.now, effects: &cluster.effects)
        #expect(cluster.state.process(500)?.user == 0)
        #expect(cluster.state.process(ProcessNumber.first)?.user == Self.user)
        #expect(cluster.state.processCount == 2)
    }

    /// The master that is left: ranks end for their callers, and the cause can be asked for.
    @Test func whoLeavesTakesItsProcessesAlong() throws {
        var cluster = Cluster()
        cluster.hello(1, keptCount: 1, link: 1)
        cluster.tell(Self.kept(5, [(0, 500)]), link: 1)
        try cluster.state.receiveControl(
            FrameHeader(.leave), body: Array("it goes".utf8), from: LinkID(1), now: cluster.now,
            effects: &cluster.effects)
        #expect(cluster.state.processCount == 0)
        #expect(cluster.state.lostProcesses[500]?.cause == .nodeLeft)
        #expect(cluster.effects.contains(.note("node 1 is down: it goes")))
        #expect(cluster.state.nodes.record(of: 1)?.isUp == false)
    }
}
