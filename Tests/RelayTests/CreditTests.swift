import Relay
import SimulatedCluster
import Testing
import Wire

@Suite struct CreditTests {
    @Test func aChildGetsTheWindowAndNoMore() throws {
        var bench = RelayBench(children: [RelayBench.leaf(1)], chunks: 30, isRoot: true)
        #expect(bench.start().connections == [1])
        let first = bench.connect(1)
        let launch = try #require(first.frames(on: RelayBench.link(1)).first)
        #expect(launch.header.kind == .launch && launch.header.launch == RelayBench.launch)
        #expect(try LaunchFrame(decoding: launch.body).subtree == RelayBench.leaf(1))
        #expect(first.chunks(to: 1) == Array(0..<RelayBench.window))
        #expect(bench.receive(.credit, subject: 10, from: 1).chunks(to: 1) == [8, 9])
        // Credit is a limit, not an amount: an old one that comes late takes nothing back.
        #expect(bench.receive(.credit, subject: 9, from: 1).chunks(to: 1).isEmpty)
        #expect(bench.receive(.credit, subject: 1000, from: 1).chunks(to: 1) == Array(10..<30))
        #expect(bench.receive(.credit, subject: .max, from: 1).chunks(to: 1).isEmpty)
    }

    /// Whatever credits come in whatever order, each child gets each chunk once, in order, below
    /// its limit, and never one that is not held here.
    @Test(arguments: 0..<50) func noChildGetsMoreThanItsCredit(_ seed: Int) {
        var generator = SeededGenerator(seed: UInt64(seed))
        let chunkCount: UInt32 = 60
        var bench = RelayBench(
            children: [RelayBench.leaf(1), RelayBench.leaf(2)], chunks: chunkCount, isRoot: false,
            ownRanks: 1)
        _ = bench.start()
        var held: UInt32 = 0
        var limit: [Int32: UInt32] = [:]
        var sent: [Int32: [UInt32]] = [1: [], 2: []]
        for _ in 0..<400 {
            let node = Int32.random(in: 1...2, using: &generator)
            var effects: [RelayEffect] = []
            switch UInt32.random(in: 0...2, using: &generator) {
            case 0 where limit[node] == nil:
                limit[node] = RelayBench.window
                effects = bench.connect(node)
            case 1 where held < chunkCount:
                held += 1
                effects = bench.holdNextChunk()
            case 2:
                let credit = UInt32.random(in: 0...chunkCount, using: &generator)
                if let old = limit[node] { limit[node] = max(old, credit) }
                effects = bench.receive(.credit, subject: credit, from: node)
            default: continue
            }
            for child: Int32 in [1, 2] {
                sent[child]! += effects.chunks(to: child)
                let expected = min(held, limit[child] ?? 0)
                #expect(sent[child] == Array(0..<expected))
            }
        }
        #expect(held == chunkCount)
    }

    /// A relay lets its parent run ahead by a window, and says so before the parent must stop.
    @Test func creditGoesUpBeforeItRunsOut() throws {
        let chunkCount = 5 * RelayBench.window
        var bench = RelayBench(children: [], chunks: chunkCount, isRoot: false, ownRanks: 1)
        var granted = RelayBench.window
        for held in 1...chunkCount {
            let effects = bench.holdNextChunk()
            for frame in try effects.frames(on: RelayBench.parent)
            where frame.header.kind == .credit {
                #expect(frame.header.subject > granted)
                granted = frame.header.subject
            }
            #expect(granted <= held + RelayBench.window)
            #expect(held == chunkCount || granted > held)
        }
        #expect(granted >= chunkCount)
    }
}
