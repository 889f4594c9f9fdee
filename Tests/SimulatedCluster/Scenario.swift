/// One simulated run: how big, and what goes wrong. Everything follows from the seed.
public struct Scenario: Sendable {
    public enum Fault: Sendable, Equatable {
        /// The daemon dies; its kernel closes its connections.
        case kill
        /// The whole machine vanishes: nothing closes, nothing answers.
        case vanish
        /// The daemon is stopped for this long, then goes on.
        case stall(nanoseconds: UInt64)
    }

    public var seed: UInt64
    public var nodeCount: Int
    public var ranksPerNode: Int
    public var fanOut: Int
    public var chunkCount: UInt32
    /// Faults by node and time after the launch.
    public var faults: [(node: Int32, time: UInt64, fault: Fault)]
    /// Nodes that are not connected when the launch begins.
    public var downNodes: Set<Int32> = []
    /// Nodes whose CPU cannot run the image: they relay all the same.
    public var refusingNodes: Set<Int32> = []
    /// Nodes that have no room for the image.
    public var fullNodes: Set<Int32> = []
    /// Nodes on which a chunk arrives damaged.
    public var damagingNodes: Set<Int32> = []
    /// Nodes on which the restorer fails.
    public var unrestorableNodes: Set<Int32> = []
    /// The node on which the client runs, and which is then the root of the tree; nil: it runs
    /// beside the master.
    public var clientNode: Int32?
    /// Ranks wait until all have an answer.
    public var holds = false
    /// When the client goes away, if it does.
    public var clientLeaves: UInt64?
    public var stallMilliseconds: UInt32 = 2000
    public var pingTimeoutNanoseconds: UInt64 = 10_000_000_000

    public init(
        seed: UInt64, nodeCount: Int, ranksPerNode: Int = 1, fanOut: Int, chunkCount: UInt32
    ) {
        self.seed = seed
        self.nodeCount = nodeCount
        self.ranksPerNode = ranksPerNode
        self.fanOut = fanOut
        self.chunkCount = chunkCount
        faults = []
    }

    /// Draws a scenario: sizes, shapes and troubles of all kinds.
    public static func drawn(seed: UInt64) -> Scenario {
        var generator = SeededGenerator(seed: seed)
        let sizes = [1, 2, 3, 7, 16, 40, 100, 250]
        let fanOuts = [1, 2, 3, 4, 8, 16, 32, 1022]
        var nodeCount = sizes.randomElement(using: &generator)!
        let fanOut = fanOuts.randomElement(using: &generator)!
        if fanOut == 1 { nodeCount = min(nodeCount, 40) }
        var scenario = Scenario(
            seed: seed, nodeCount: nodeCount, ranksPerNode: generator.chance(0.2) ? 3 : 1,
            fanOut: fanOut, chunkCount: UInt32.random(in: 1...12, using: &generator))
        // Not drawn, so that the other half stays what it was.
        scenario.holds = seed % 2 == 1
        let anyNode = { (generator: inout SeededGenerator) in
            Int32.random(in: 0..<Int32(nodeCount), using: &generator)
        }
        let troubleCount = generator.chance(0.2) ? 0 : Int.random(in: 1...6, using: &generator)
        for _ in 0..<troubleCount {
            let node = anyNode(&generator)
            let time = UInt64.random(in: 0...30_000_000, using: &generator)
            switch Int.random(in: 0..<9, using: &generator) {
            case 0, 1: scenario.faults.append((node, time, .kill))
            case 2: scenario.faults.append((node, time, .vanish))
            case 3:
                let length = UInt64.random(in: 1_000_000...20_000_000_000, using: &generator)
                scenario.faults.append((node, time, .stall(nanoseconds: length)))
            case 4: scenario.downNodes.insert(node)
            case 5: scenario.refusingNodes.insert(node)
            case 6: scenario.fullNodes.insert(node)
            case 7: scenario.damagingNodes.insert(node)
            default: scenario.unrestorableNodes.insert(node)
            }
        }
        if generator.chance(0.1) {
            scenario.clientLeaves = UInt64.random(in: 0...40_000_000, using: &generator)
        }
        if generator.chance(0.4) {
            let node = anyNode(&generator)
            if !scenario.downNodes.contains(node) { scenario.clientNode = node }
        }
        return scenario
    }

    /// Nodes with which nothing is wrong: each of their ranks must be placed. When the only image
    /// is lost or cannot be read, that is nobody.
    public var healthyNodes: Set<Int32> {
        if let clientNode,
            fullNodes.contains(clientNode) || faults.contains(where: { $0.node == clientNode })
        {
            return []
        }
        var healthy = Set(0..<Int32(nodeCount))
        for fault in faults { healthy.remove(fault.node) }
        return healthy.subtracting(downNodes).subtracting(refusingNodes).subtracting(fullNodes)
            .subtracting(damagingNodes).subtracting(unrestorableNodes)
    }
}
