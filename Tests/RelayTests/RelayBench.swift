import Relay
import Wire

/// A relay under test with a clock, and what it wanted done, sorted by link.
struct RelayBench {
    static let launch: UInt64 = 42
    static let chunk: UInt32 = 1 << 20
    static let stall: UInt64 = 1_000_000_000
    static let parent = LinkID(1)
    /// What a child may be sent before it has said anything.
    static let window = LaunchRelay.creditWindowByteCount / chunk

    var relay: LaunchRelay
    var now: UInt64 = 1_000_000_000_000
    private var effects: [RelayEffect] = []

    /// - Parameter children: one tree each; `leaf` and `tree` make them.
    init(
        children: [RelaySubtree], chunks: UInt32, isRoot: Bool, ownRanks: Int = 0,
        flags: LaunchOrder.Flags = []
    ) {
        var order = LaunchOrder(
            imageByteCount: UInt64(chunks) * UInt64(Self.chunk), chunkByteCount: Self.chunk,
            user: 0, group: 0, supplementaryGroups: [], umask: 0, nice: 0, limits: [],
            descriptors: .forwarded(standardInput: false), directory: "/", command: "a",
            stallMilliseconds: UInt32(Self.stall / 1_000_000))
        order.flags = flags
        relay = LaunchRelay(
            launch: Self.launch, node: isRoot ? -1 : 0, order: order,
            orderBytes: LaunchFrame.encode(order), parent: isRoot ? nil : Self.parent,
            subtrees: children, ownRankCount: ownRanks, chunksHeld: isRoot ? chunks : 0, now: now)
    }

    static func address(_ node: Int32) -> NodeAddress {
        NodeAddress(ipv4: 10, 0, 0, UInt8(truncatingIfNeeded: node), port: 5000)
    }

    static func entry(_ node: Int32) -> RelaySubtree.Entry {
        RelaySubtree.Entry(
            node: node, address: address(node),
            ranks: [RelaySubtree.Rank(rank: UInt32(node), process: node + 1000)])
    }

    static func leaf(_ node: Int32) -> RelaySubtree { tree(node, []) }

    /// A node with leaves below it; the rank of each node is its number.
    static func tree(_ node: Int32, _ leaves: [Int32]) -> RelaySubtree {
        let end = leaves.count + 1
        return RelaySubtree(
            preorder: ([node] + leaves).map { entry($0) },
            subtreeEnds: [end] + leaves.indices.map { $0 + 2 })
    }

    // MARK: Events

    /// Does one thing and answers with what it brought about.
    mutating func act(_ body: (inout LaunchRelay, UInt64, inout [RelayEffect]) -> Void)
        -> [RelayEffect]
    {
        effects = []
        body(&relay, now, &effects)
        return effects
    }

    mutating func start() -> [RelayEffect] { act { $0.start(now: $1, effects: &$2) } }

    /// The link to `node` is ready; links to children have the number of their node plus 100.
    mutating func connect(_ node: Int32) -> [RelayEffect] {
        act { $0.linkIsReady(node: node, link: Self.link(node), now: $1, effects: &$2) }
    }

    static func link(_ node: Int32) -> LinkID { LinkID(UInt64(node) + 100) }

    mutating func receive(
        _ kind: FrameKind, subject: UInt32 = 0, flags: FrameHeader.Flags = [],
        answer: Answer? = nil, from node: Int32
    ) -> [RelayEffect] {
        act {
            $0.receive(
                FrameHeader(kind, launch: Self.launch, subject: subject, flags: flags),
                answer: answer, from: Self.link(node), now: $1, effects: &$2)
        }
    }

    mutating func holdNextChunk() -> [RelayEffect] {
        act { $0.holds(chunk: $0.chunksHeld, now: $1, effects: &$2) }
    }

    mutating func tick(after nanoseconds: UInt64) -> [RelayEffect] {
        now += nanoseconds
        return act { $0.tick(now: $1, effects: &$2) }
    }

    static func placed(_ ranks: UInt32...) -> Answer {
        var answer = Answer()
        answer.placed = ranks.map {
            Answer.Placed(rank: $0, undumpNanoseconds: 1, receivedChunkCount: 1)
        }
        return answer
    }
}

extension [RelayEffect] {
    /// Chunks queued for a node, in order.
    func chunks(to node: Int32) -> [UInt32] {
        compactMap {
            guard case .forward(let link, let chunk) = $0, link == RelayBench.link(node) else {
                return nil
            }
            return chunk
        }
    }

    /// Nodes that a link is wanted to.
    var connections: [Int32] {
        compactMap {
            guard case .connect(let node, let address) = $0 else { return nil }
            return address == RelayBench.address(node) ? node : nil
        }
    }

    /// Headers and bodies of the frames sent on a link.
    func frames(on link: LinkID) throws -> [(header: FrameHeader, body: [UInt8])] {
        var frames: [(header: FrameHeader, body: [UInt8])] = []
        for case .send(let target, let frame) in self where target == link {
            let header = try FrameHeader(decoding: frame.span.bytes)
            frames.append((header, [UInt8](frame[FrameHeader.byteCount...])))
        }
        return frames
    }

    func answers(on link: LinkID) throws -> [(flags: FrameHeader.Flags, answer: Answer)] {
        try frames(on: link).filter { $0.header.kind == .answer }.map {
            ($0.header.flags, try Answer(decoding: $0.body))
        }
    }

    /// What the answers on a link say of the nodes that have the launch.
    func reached(on link: LinkID) throws -> [UInt32] {
        try frames(on: link).filter { $0.header.kind == .answer }.map { $0.header.subject }
    }

    var closed: [LinkID] {
        compactMap {
            guard case .close(let link) = $0 else { return nil }
            return link
        }
    }
}
