import SimulatedCluster
import Testing
import Wire

@Suite struct FrameJournalTests {
    private static func frame(_ number: UInt64) -> [UInt8] {
        FrameHeader.frame(FrameHeader(.query, launch: number))
    }

    @Test func whatIsAcknowledgedIsLetGo() throws {
        var journal = FrameJournal()
        for number in 0..<500 { journal.willSend(Self.frame(UInt64(number))) }
        #expect(journal.keptByteCount == 500 * FrameHeader.byteCount)
        try journal.acknowledge(499)
        #expect(journal.keptByteCount == FrameHeader.byteCount)
        // One that says less than before says nothing.
        try journal.acknowledge(3)
        #expect(journal.acknowledgedCount == 499)
        #expect(throws: WireError.self) { try journal.acknowledge(501) }
        try journal.acknowledge(500)
        #expect(journal.keptByteCount == 0)
    }

    @Test func itGoesOnWhereTheOtherEndIs() throws {
        var journal = FrameJournal()
        for number in 0..<10 { journal.willSend(Self.frame(UInt64(number))) }
        try journal.acknowledge(4)
        let resumed = journal.resume(after: 7)
        let rest = try #require(resumed)
        #expect(rest.first == 7)
        #expect(Array(rest.frames) == (7..<10).map(Self.frame))
        // The other end cannot know less than it has acknowledged, or more than was sent.
        let earlier = journal.resume(after: 2)
        let again = try #require(earlier)
        #expect(again.first == 7)
        let beyond = journal.resume(after: 11)
        #expect(beyond == nil)
    }

    @Test func framesThatComeAgainAreDropped() {
        var journal = FrameJournal()
        for _ in 0..<5 { _ = journal.receive(byteCount: 32) }
        let isComplete = [journal.expect(first: 6), journal.expect(first: 3)]
        #expect(isComplete == [false, true])
        let isNew = (0..<4).map { _ in journal.receive(byteCount: 32) }
        #expect(isNew == [false, false, true, true])
        #expect(journal.receivedCount == 7)
    }

    @Test func tooMuchTearsIt() {
        var journal = FrameJournal()
        let frame = [UInt8](repeating: 0, count: 1 << 20)
        for _ in 0...(FrameJournal.keptByteLimit >> 20) { journal.willSend(frame) }
        #expect(journal.isTorn && journal.keptByteCount == 0)
        let resumed = journal.resume(after: journal.sentCount)
        #expect(resumed == nil)
    }

    @Test func muchIsAcknowledgedBeforeItIsAsked() {
        var journal = FrameJournal()
        _ = journal.receive(byteCount: 200 << 10)
        #expect(!journal.owesAcknowledgement)
        _ = journal.receive(byteCount: 60 << 10)
        #expect(journal.owesAcknowledgement)
        let told = journal.tell()
        #expect(told == 2 && !journal.owesAcknowledgement)
    }

    /// Two ends, connections that break anywhere with what is under way, and acknowledgements.
    @Test(arguments: UInt64(0)..<200) func nothingIsLostOrDoubled(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        var ends = [FrameJournal(), FrameJournal()]
        var said: [UInt64] = [0, 0]
        var heard: [UInt64] = [0, 0]
        // Frames on their way from each end.
        var pipes: [[[UInt8]]] = [[], []]
        func hear(_ end: Int) throws {
            let frame = pipes[1 - end].removeFirst()
            let header = try FrameHeader(decoding: frame.span.bytes)
            guard header.kind.isCounted else {
                try ends[end].acknowledge(header.launch)
                return
            }
            guard ends[end].receive(byteCount: frame.count) else { return }
            #expect(header.launch == heard[end])
            heard[end] += 1
        }
        for _ in 0..<400 {
            let end = Int.random(in: 0...1, using: &generator)
            switch Int.random(in: 0..<10, using: &generator) {
            case 0..<4:
                let frame = Self.frame(said[end])
                said[end] += 1
                ends[end].willSend(frame)
                pipes[end].append(frame)
            case 4..<8: if !pipes[1 - end].isEmpty { try hear(end) }
            case 8:
                let count = ends[end].tell()
                pipes[end].append(FrameHeader.frame(FrameHeader(.acknowledge, launch: count)))
            default:
                // The slave (0) says hello, and hears more by the old connection before the
                // master (1) has read it.
                let count = ends[0].receivedCount
                for _ in 0..<Int.random(in: 0...2, using: &generator) where !pipes[1].isEmpty {
                    try hear(0)
                }
                let ofMaster = ends[1].resume(after: count)
                let (first, frames) = try #require(ofMaster)
                let ofSlave = ends[0].resume(after: ends[1].tell())
                let isComplete = ends[0].expect(first: first)
                #expect(isComplete)
                pipes = [Array(try #require(ofSlave).frames), Array(frames)]
            }
        }
        for end in 0...1 { while !pipes[1 - end].isEmpty { try hear(end) } }
        #expect(heard == [said[1], said[0]])
    }
}
