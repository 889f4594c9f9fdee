import Relay
import SlaveCore
import Testing
import Wire

/// A slave that goes to another master: what it tells there, takes along, and ends.
@Suite struct DepartureTests {
    private static let master = LinkID(1)

    private struct Slave {
        var state = SlaveState(node: 3)
        var effects: [SlaveEffect] = []

        /// A launch whose image is here, with these ranks, of which some have been placed.
        mutating func launch(
            _ number: UInt64, ranks: [UInt32], placed: [UInt32], isDone: Bool = true,
            flags: LaunchOrder.Flags = []
        ) {
            var order = LaunchOrder(
                imageByteCount: 16384, chunkByteCount: 16384, user: 54321, group: 1,
                supplementaryGroups: [2], umask: 0, nice: 0, limits: [], descriptors: .listed([]),
                directory: "/", command: "a", stallMilliseconds: 1000)
            order.flags = flags
            let entry = RelaySubtree.Entry(
                node: 3, address: .unspecified,
                ranks: ranks.map { RelaySubtree.Rank(rank: $0, process: 500 + Int32($0)) })
            let frame = LaunchFrame(
                order: order, subtree: RelaySubtree(preorder: [entry], subtreeEnds: [1]))
            state.receiveLaunch(
                number, frame: frame, isAdoption: false, holder: 7, from: master, now: 1,
                effects: &effects)
            state.storageIsReady(launch: number, now: 1, effects: &effects)
            for rank in placed {
                state.rankIsPlaced(
                    launch: number, rank: rank, undumpNanoseconds: 1, now: 1, effects: &effects)
            }
            if isDone {
                try? state.receiveControl(
                    FrameHeader(.done, launch: number), body: [], from: master, now: 1,
                    effects: &effects)
            }
            effects.removeAll()
        }

        func isEnded(_ launch: UInt64, _ rank: UInt32) -> Bool {
            effects.contains(
                .signal(
                    launch: launch, rank: rank, RankSignal(9, reach: .descendants)))
        }
    }

    private static func adoption(_ places: [(UInt64, UInt32, Int32)]) -> Adoption {
        Adoption(places: places.map { Adoption.Place(launch: $0, rank: $1, process: $2) })
    }

    @Test func whatRunsIsToldAndMoves() throws {
        var slave = Slave()
        slave.launch(70, ranks: [0, 4], placed: [0, 4])
        slave.launch(71, ranks: [1], placed: [1], isDone: false)
        // Not all of it is there yet; its programs have not begun.
        slave.launch(72, ranks: [2], placed: [2], isDone: false, flags: .hold)
        slave.launch(73, ranks: [3], placed: [])
        let kept = slave.state.keptLaunches
        #expect(kept.map(\.launch) == [70, 71])
        #expect(
            kept[0].ranks == [
                KeptLaunch.Rank(rank: 0, process: 500), KeptLaunch.Rank(rank: 4, process: 504),
            ])
        #expect(kept[0].user == 54321 && kept[0].supplementaryGroups == [2])
        let answer = Self.adoption([(900, 0, 500), (900, 1, 1 << 23), (901, 0, 501)])
        let moves = try #require(LaunchMove.moves(of: kept, by: answer))
        // One ends before the other master is welcome.
        slave.state.rankExited(
            ExitRecord(launch: 70, rank: 4, waitStatus: 256), effects: &slave.effects)
        slave.effects.removeAll()
        slave.state.leave(taking: moves, effects: &slave.effects)
        #expect(slave.isEnded(72, 2) && slave.isEnded(73, 3))
        #expect(!slave.isEnded(70, 0) && !slave.isEnded(71, 1))
        #expect(slave.effects.contains(.release(launch: 71)))
        let runs = slave.state.adopt(moves, now: 2, effects: &slave.effects)
        #expect(runs == [[true, false], [true]])
        #expect(!slave.state.knows(70) && !slave.state.knows(71))

        // From now on they are the other master's.
        slave.effects.removeAll()
        try slave.state.receiveControl(
            FrameHeader(.signal, launch: 900, subject: FrameHeader.allRanks),
            body: Array(
                RankSignal(15, reach: .group).frame(launch: 900, rank: 0)[
                    FrameHeader.byteCount...]),
            from: LinkID(2), now: 3, effects: &slave.effects)
        #expect(
            slave.effects == [
                .signal(launch: 900, rank: 0, RankSignal(15, reach: .group))
            ])
        slave.effects.removeAll()
        let record = ExitRecord(launch: 900, rank: 0, waitStatus: 15)
        slave.state.rankExited(record, effects: &slave.effects)
        #expect(
            slave.effects
                == [.control(frame: ExitRecord.frame([record])), .forget(launch: 900)])
        // And may go on to a third, by their new numbers.
        #expect(slave.state.keptLaunches.map(\.launch) == [901])
        #expect(slave.state.keptLaunches[0].ranks == [KeptLaunch.Rank(rank: 0, process: 501)])
    }

    /// What is started while the other master thinks stays behind.
    @Test func whatHasNotBeenToldIsEnded() throws {
        var slave = Slave()
        slave.launch(70, ranks: [0, 1], placed: [0], isDone: false)
        let kept = slave.state.keptLaunches
        let moves = try #require(
            LaunchMove.moves(of: kept, by: Self.adoption([(900, 0, 500)])))
        slave.state.rankIsPlaced(
            launch: 70, rank: 1, undumpNanoseconds: 1, now: 1, effects: &slave.effects)
        slave.launch(71, ranks: [5], placed: [5])
        slave.state.leave(taking: moves, effects: &slave.effects)
        #expect(slave.isEnded(70, 1) && slave.isEnded(71, 5) && !slave.isEnded(70, 0))
        #expect(slave.state.adopt(moves, now: 2, effects: &slave.effects) == [[true]])
        #expect(slave.state.knows(70) && slave.state.knows(900))
        slave.state.rankExited(
            ExitRecord(launch: 70, rank: 1, waitStatus: 9), effects: &slave.effects)
        slave.state.rankExited(
            ExitRecord(launch: 71, rank: 5, waitStatus: 9), effects: &slave.effects)
        #expect(!slave.state.knows(70) && !slave.state.knows(71))
        // A master that asks for nothing gets nothing.
        slave.effects.removeAll()
        slave.state.leave(taking: [], effects: &slave.effects)
        #expect(slave.isEnded(900, 0))
    }

    @Test func answersThatAreNoneAreRefused() {
        let kept = [
            KeptLaunch(
                launch: 70, user: 0, group: 0, supplementaryGroups: [],
                ranks: [
                    KeptLaunch.Rank(rank: 0, process: 500), KeptLaunch.Rank(rank: 1, process: 501),
                ]),
            KeptLaunch(
                launch: 71, user: 0, group: 0, supplementaryGroups: [],
                ranks: [KeptLaunch.Rank(rank: 0, process: 502)]),
        ]
        let table: [([(UInt64, UInt32, Int32)], Bool)] = [
            ([(900, 0, 500), (900, 1, 501), (901, 0, 502)], true),
            ([(900, 3, 1), (900, 0, 2), (901, 9, 3)], true),
            ([], false),
            // Too few, too many, a launch torn apart, two launches made one, a place twice, no
            // process number.
            ([(900, 0, 500), (900, 1, 501)], false),
            ([(900, 0, 500), (900, 1, 501), (901, 0, 502), (901, 1, 503)], false),
            ([(900, 0, 500), (901, 1, 501), (901, 0, 502)], false),
            ([(900, 0, 500), (900, 1, 501), (900, 2, 502)], false),
            ([(900, 0, 500), (900, 0, 501), (901, 0, 502)], false),
            ([(900, 0, 500), (900, 1, 0), (901, 0, 502)], false),
        ]
        for (places, isAnswer) in table {
            let moves = LaunchMove.moves(of: kept, by: Self.adoption(places))
            #expect((moves != nil) == isAnswer, "\(places)")
        }
        #expect(LaunchMove.moves(of: [], by: Self.adoption([]))?.isEmpty == true)
    }
}
