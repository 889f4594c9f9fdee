import SimulatedCluster
import Wire

/// Valid messages of every kind, drawn from a seeded generator: what one run has found, the seed
/// finds again.
public struct MessageSamples {
    public var generator: SeededGenerator

    public init(seed: UInt64) { generator = SeededGenerator(seed: seed) }

    /// A number whose width is drawn first, so that small and extreme values both come up.
    public mutating func number<T: FixedWidthInteger>(_ type: T.Type = T.self) -> T {
        let raw = generator.next()
        switch generator.next() % 4 {
        case 0: return T(truncatingIfNeeded: raw % 4)
        case 1: return [T.min, T.max, 0, T.max - 1][Int(raw % 4)]
        default: return T(truncatingIfNeeded: raw >> (generator.next() % 64))
        }
    }

    public mutating func count(_ range: ClosedRange<Int>) -> Int {
        Int.random(in: range, using: &generator)
    }

    public mutating func bytes(_ range: ClosedRange<Int>) -> [UInt8] {
        (0..<count(range)).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
    }

    /// Text of at most `limit` bytes, with characters of one to four bytes.
    public mutating func text(limit: Int) -> String {
        let alphabet: [Character] = ["a", "/", " ", "0", "é", "€", "😀", "\n"]
        var text = ""
        for _ in 0..<count(0...min(limit, 24)) {
            let next = alphabet[count(0...(alphabet.count - 1))]
            guard text.utf8.count + next.utf8.count <= limit else { break }
            text.append(next)
        }
        return text
    }

    public mutating func address() -> NodeAddress {
        let families: [NodeAddress.Family] = [.none, .ipv4, .ipv6]
        var octets = [16 of UInt8](repeating: 0)
        for index in 0..<16 { octets[index] = number() }
        return NodeAddress(family: families[count(0...2)], port: number(), octets: octets)
    }

    public mutating func hello() -> Hello {
        var hello = Hello(
            role: count(0...1) == 0 ? .slave : .relay, node: number(), address: address(),
            incarnation: number(),
            machine: Hello.Machine(identity: number(), coreCount: number()),
            architecture: number(), version: text(limit: 64))
        hello.membership = membership()
        hello.receivedCount = number()
        hello.keptCount = number()
        return hello
    }

    public mutating func keptLaunch() -> KeptLaunch {
        KeptLaunch(
            launch: number(), user: number(), group: number(),
            supplementaryGroups: (0..<count(0...4)).map { _ in number() },
            ranks: (0..<count(0...5)).map { _ in
                KeptLaunch.Rank(rank: number(), process: max(1, number()))
            })
    }

    public mutating func adoption() -> Adoption {
        Adoption(
            places: (0..<count(0...5)).map { _ in
                Adoption.Place(launch: number(), rank: number(), process: number())
            })
    }

    public mutating func welcome() -> Welcome {
        Welcome(
            node: number(), heartbeatMilliseconds: number(), nodeCount: number(),
            graceMilliseconds: number(), membership: membership(),
            resumption: count(0...1) == 0
                ? nil : Resumption(receivedCount: number(), firstFrame: number()),
            version: text(limit: 64))
    }

    public mutating func membership() -> Membership {
        Membership(master: number(), cookie: number())
    }

    public mutating func caller() -> Caller {
        Caller(
            user: number(), group: number(),
            supplementaryGroups: (0..<count(0...5)).map { _ in number() })
    }

    public mutating func clientRequest() -> ClientRequest {
        ClientRequest(
            caller: caller(), kind: number(), request: number(), message: bytes(0...40))
    }

    public mutating func processReport() -> ProcessReport {
        ProcessReport(
            entries: (0..<count(0...5)).map { _ in
                ProcessReport.Entry(
                    launch: number(), rank: number(), isDescendant: count(0...1) == 0,
                    localProcess: number(), localParent: number(), user: number(),
                    state: number(), userMicroseconds: number(), systemMicroseconds: number(),
                    elapsedMicroseconds: number(), residentByteCount: number(),
                    command: text(limit: ProcessReport.commandByteLimit))
            })
    }

    public mutating func nodeControl() -> NodeControl {
        switch count(0...4) {
        case 0: .changeRoot(text(limit: NodeControl.pathByteLimit))
        case 4: .reconnect(address(), from: address())
        case 1: .reboot
        case 2: .halt
        default: .powerOff
        }
    }

    public mutating func nodeControlAnswer() -> NodeControlAnswer {
        NodeControlAnswer(errorNumber: Int32(count(0...304)), reason: text(limit: 159))
    }

    public mutating func clientLaunch() -> ClientLaunch {
        ClientLaunch(
            caller: caller(), imageByteCount: UInt64(count(1...(1 << 40))), request: number(),
            message: bytes(0...40),
            mover: count(0...1) == 0
                ? nil
                : ClientLaunch.Mover(
                    launch: UInt64(count(0...(1 << 40))), rank: number(),
                    leaves: count(0...1) == 1))
    }

    public mutating func refusal() -> Refusal { Refusal(text(limit: 2048)) }

    public mutating func header() -> FrameHeader {
        let kind = FrameKind.allCases[count(0...(FrameKind.allCases.count - 1))]
        return FrameHeader(
            kind, bodyByteCount: UInt32.random(in: 0...kind.bodyLimit, using: &generator),
            launch: number(), subject: number(), stream: number(),
            flags: FrameHeader.Flags(rawValue: UInt16(count(0...15))), unpackedByteCount: number())
    }

    public mutating func answer() -> Answer {
        var answer = Answer()
        for _ in 0..<count(0...5) {
            answer.placed.append(
                Answer.Placed(
                    rank: number(), undumpNanoseconds: number(),
                    receivedChunkCount: number() >> 1, hasOtherPid: number() & 1 == 1))
        }
        for _ in 0..<count(0...4) {
            answer.failures.append(
                Answer.Failure(
                    rank: number(), node: number(),
                    stage: LaunchStage(rawValue: UInt8(count(1...8)))!,
                    errorNumber: Int32.random(in: 1...Int32.max, using: &generator),
                    reason: text(limit: Answer.reasonLimit)))
        }
        return answer
    }

    public mutating func exitRecords() -> [ExitRecord] {
        (0..<count(0...5)).map { _ in
            ExitRecord(
                launch: number(), rank: number(), waitStatus: number(),
                usage: ResourceUsage(
                    userMicroseconds: number(), systemMicroseconds: number(),
                    maximumResidentKilobytes: number()))
        }
    }

    public mutating func stopRecords() -> [StopRecord] {
        (0..<count(0...5)).map { _ in
            StopRecord(launch: number(), rank: number(), signal: number(), sequence: number())
        }
    }

    public mutating func rankSignal() -> RankSignal {
        RankSignal(
            number(), reach: SignalReach(rawValue: UInt16(count(0...2)))!, sequence: number())
    }

    public mutating func descriptors() -> Descriptors {
        guard count(0...2) == 0 else {
            let hasItems = count(0...1) == 0
            return .forwarded(
                standardInput: count(0...1) == 0, items: hasItems ? descriptorItems() : [])
        }
        return .listed(descriptorItems())
    }

    private mutating func descriptorItems() -> [Descriptors.Item] {
        var items: [Descriptors.Item] = []
        for _ in 0..<count(0...Descriptors.itemLimit) {
            let target: Descriptors.Item.Target =
                count(0...1) == 0
                ? .socket(address())
                : .file(
                    path: text(limit: 255), openFlags: number(), mode: number(), offset: number())
            items.append(
                Descriptors.Item(
                    descriptor: Int32(count(0...1023)), flags: number(), target: target))
        }
        return items
    }

    public mutating func order() -> LaunchOrder {
        let chunk = ChunkSize.granularity * UInt32(count(1...512))
        let most = min(UInt64(chunk) * UInt64(UInt32.max - 1), (1 << 46) - 1)
        let image =
            count(0...3) == 0
            ? UInt64.random(in: 1...most, using: &generator)
            : UInt64(chunk) * UInt64(count(1...40)) - UInt64(count(0...16383))
        var order = LaunchOrder(
            imageByteCount: image, chunkByteCount: chunk, user: number(), group: number(),
            supplementaryGroups: (0..<count(0...9)).map { _ in number() }, umask: number(),
            nice: number(),
            limits: (0..<count(0...LaunchOrder.limitLimit)).map { _ in
                LaunchOrder.Limit(soft: number(), hard: number())
            }, descriptors: descriptors(), directory: text(limit: 4096),
            command: text(limit: 4096), stallMilliseconds: UInt32(count(100...3_600_000)))
        order.credential = bytes(0...40)
        order.flags = LaunchOrder.Flags(rawValue: number())
        // Some are packed.
        if image % 2 == 1 { order.unpackedByteCount = min(image * 3, 1 << 46 - 1) }
        return order
    }

    public mutating func subtree(nodes: ClosedRange<Int> = 1...12) -> RelaySubtree {
        let tree = tree(nodes: nodes)
        return RelaySubtree(preorder: tree.preorder, subtreeEnds: tree.subtreeEnds)
    }

    /// A random tree as the plain value that the encoded one must agree with.
    public mutating func tree(nodes: ClosedRange<Int>) -> TreeModel {
        let total = count(nodes)
        var parents: [Int] = [-1]
        for index in 1..<max(1, total) { parents.append(count(0...(index - 1))) }
        return tree(at: 0, parents: parents)
    }

    private mutating func tree(at index: Int, parents: [Int]) -> TreeModel {
        let entry = RelaySubtree.Entry(
            node: Int32(index), address: address(),
            ranks: (0..<count(0...3)).map { _ in
                RelaySubtree.Rank(rank: number(), process: number())
            })
        let children = parents.indices.filter { parents[$0] == index }
        return TreeModel(
            entry: entry, children: children.map { tree(at: $0, parents: parents) })
    }

    public mutating func launchFrame() -> LaunchFrame {
        LaunchFrame(order: order(), subtree: subtree())
    }
}
