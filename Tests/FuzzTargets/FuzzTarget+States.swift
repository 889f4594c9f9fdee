import MasterCore
import Relay
import SlaveCore
import Wire
import WireSamples

/// Whole conversations: frames one behind the other, as a broken or malicious peer could send them,
/// with everything that a daemon would do about them.
extension FuzzTarget {
    static let stateTargets: [FuzzTarget] = [
        FuzzTarget(
            "slave", runCount: 6000, seeds: { (0..<6).map { slaveTalk(seed: $0) } + [lateChunk()] },
            run: { bytes in
                var talk = SlaveTalk()
                for (header, body) in frames(bytes) { talk.receive(header, body) }
                return talk.fault
            }),
        FuzzTarget(
            "master", runCount: 6000, seeds: { (0..<4).map { masterTalk(seed: $0) } },
            run: { bytes in
                var talk = MasterTalk()
                for (header, body) in frames(bytes) { talk.receive(header, body) }
                return talk.fault
            }),
        FuzzTarget(
            "master-of-root", runCount: 6000,
            seeds: { (0..<4).map { masterTalk(seed: $0) + rootTalk(seed: $0) } },
            run: { bytes in
                var talk = MasterTalk(isFromNode: true)
                for (header, body) in frames(bytes) { talk.receive(header, body) }
                return talk.fault
            }),
        FuzzTarget(
            "slave-as-root", runCount: 6000, seeds: { (0..<6).map { rootedSlaveTalk(seed: $0) } },
            run: { bytes in
                var talk = SlaveTalk()
                for (header, body) in frames(bytes) { talk.receive(header, body) }
                return talk.fault
            }),
    ]

    /// As many whole frames as the bytes hold.
    private static func frames(_ bytes: [UInt8]) -> [(FrameHeader, [UInt8])] {
        var frames: [(FrameHeader, [UInt8])] = []
        var offset = 0
        while frames.count < 200,
            let header = try? FrameHeader(
                decoding: bytes.span.bytes.extracting(droppingFirst: offset))
        {
            let start = offset + FrameHeader.byteCount
            let end = start + Int(header.bodyByteCount)
            guard end <= bytes.count else { break }
            frames.append((header, Array(bytes[start..<end])))
            offset = end
        }
        return frames
    }

    /// A launch as a slave sees it: from the launch frame to an end. `stream`, which these kinds do
    /// not use, names the link.
    private static func slaveTalk(seed: UInt64) -> [UInt8] {
        var samples = MessageSamples(seed: 500 + seed)
        var order = samples.order()
        order.chunkByteCount = 16384
        order.imageByteCount = 3 * 16384 - 5
        let launch = LaunchFrame(order: order, subtree: samples.subtree(nodes: 4...9))
        var bytes = launch.frame(launch: 5, isAdoption: seed % 3 == 2)
        func add(
            _ kind: FrameKind, subject: UInt32 = 0, link: UInt16 = 0,
            flags: FrameHeader.Flags = [], body: [UInt8] = []
        ) {
            bytes += FrameHeader.frame(
                FrameHeader(kind, launch: 5, subject: subject, stream: link, flags: flags),
                body: body)
        }
        // Chunks have no bodies here: only their order is of interest.
        for chunk: UInt32 in 0..<3 { add(.chunk, subject: chunk) }
        for link: UInt16 in 100..<104 {
            add(.credit, subject: 3, link: link)
            let body = samples.answer().frame(launch: 5, flags: [])[FrameHeader.byteCount...]
            add(
                .answer, link: link, flags: link == 102 ? [.final, .withdrawn] : .final,
                body: Array(body))
            add(.attach, subject: 1, link: link)
        }
        bytes += launch.frame(launch: 5, isAdoption: true)
        add(.signal, subject: .max, body: [19, 0, 0, 0, 1, 0, 0, 0])
        add(.signal, subject: .max, body: [16, 0, 0, 0, 0, 0, 0, 0])
        if seed % 2 == 0 { add(.done) }
        add(.verdict, body: [UInt8(seed % 3)])
        add(.abort)
        return bytes
    }

    /// A chunk is half received when a new parent takes the node over and brings the whole.
    private static func lateChunk() -> [UInt8] {
        var samples = MessageSamples(seed: 600)
        var order = samples.order()
        order.chunkByteCount = 16384
        order.imageByteCount = 3 * 16384
        let launch = LaunchFrame(order: order, subtree: samples.subtree(nodes: 2...4))
        func frame(
            _ kind: FrameKind, subject: UInt32 = 0, link: UInt16 = 0, unpacked: UInt32 = 0
        ) -> [UInt8] {
            FrameHeader.frame(
                FrameHeader(
                    kind, launch: 5, subject: subject, stream: link, unpackedByteCount: unpacked))
        }
        var adoption = launch.frame(launch: 5, isAdoption: true)
        adoption[20] = 7
        return launch.frame(launch: 5, isAdoption: false) + frame(.chunk)
            + frame(.chunk, subject: 1, unpacked: 4) + adoption
            + frame(.chunk, subject: 1, link: 7) + frame(.ping)
            + frame(.chunk, subject: 2, link: 7) + frame(.done, link: 7)
    }

    /// The root of a launch answers by its control link, the third that was opened.
    private static func rootTalk(seed: UInt64) -> [UInt8] {
        var answer = Answer()
        for rank: UInt32 in 0..<7 where rank != UInt32(seed) {
            answer.placed.append(
                Answer.Placed(rank: rank, undumpNanoseconds: 1, receivedChunkCount: 7))
        }
        let body = Array(answer.frame(launch: 70, flags: [])[FrameHeader.byteCount...])
        let isLast = seed % 2 == 0
        return FrameHeader.frame(FrameHeader(.alive, launch: 70, stream: 3))
            + FrameHeader.frame(
                FrameHeader(
                    .answer, launch: 70, stream: 3, flags: isLast ? [.final, .withdrawn] : .final),
                body: body)
    }

    /// A launch whose image is here: from the master, by the control link.
    private static func rootedSlaveTalk(seed: UInt64) -> [UInt8] {
        var samples = MessageSamples(seed: 700 + seed)
        var order = samples.order()
        order.chunkByteCount = 16384
        order.imageByteCount = 3 * 16384 - 5
        let launch = LaunchFrame(order: order, subtree: samples.subtree(nodes: 4...9))
        var bytes = launch.frame(launch: 5, isAdoption: false, holder: UInt32(seed))
        for link: UInt16 in 100..<104 {
            bytes += FrameHeader.frame(FrameHeader(.credit, launch: 5, subject: 3, stream: link))
            let body = samples.answer().frame(launch: 5, flags: [])[FrameHeader.byteCount...]
            bytes += FrameHeader.frame(
                FrameHeader(.answer, launch: 5, stream: link, flags: .final), body: Array(body))
        }
        bytes += FrameHeader.frame(FrameHeader(.alive, launch: 5))
        if seed % 2 == 0 { bytes += FrameHeader.frame(FrameHeader(.done, launch: 5)) }
        bytes += FrameHeader.frame(FrameHeader(.verdict, launch: 5), body: [UInt8(seed % 3)])
        return bytes + FrameHeader.frame(FrameHeader(.abort, launch: 5))
    }

    private static func masterTalk(seed: UInt64) -> [UInt8] {
        var samples = MessageSamples(seed: 900 + seed)
        var bytes: [UInt8] = []
        for node: Int32 in 0..<6 {
            let hello = Hello(
                role: .slave, node: node == 5 ? Hello.noNode : node, address: samples.address(),
                incarnation: 1)
            bytes += hello.frame
        }
        for node: UInt16 in 0..<6 {
            for kind in [FrameKind.pong, .alive, .credit, .attach, .query] {
                bytes += FrameHeader.frame(
                    FrameHeader(kind, launch: 70, subject: 2, stream: node + 100))
            }
            var answer = Answer()
            answer.placed = [
                Answer.Placed(
                    rank: UInt32(node), undumpNanoseconds: 1, receivedChunkCount: 3)
            ]
            bytes += FrameHeader.frame(
                FrameHeader(.answer, launch: 70, stream: node + 100, flags: .final),
                body: Array(answer.frame(launch: 70, flags: [])[FrameHeader.byteCount...]))
            let stop = StopRecord(launch: 70, rank: UInt32(node), signal: 19, sequence: 0)
            bytes += StopRecord.frame([stop])
            let exit = ExitRecord(launch: 70, rank: UInt32(node), waitStatus: 0)
            bytes += ExitRecord.frame([exit])
        }
        return bytes
    }
}
