import Relay
public import Wire

/// A program on a node that asks for a launch: its slave has the image and is the root of the tree.
public struct LaunchOrigin: Equatable, Sendable {
    public var node: Int32
    /// The number its slave knows it by.
    public var client: UInt32
    public init(node: Int32, client: UInt32) {
        self.node = node
        self.client = client
    }
}

/// A launch request as a client made it, identity already taken from the kernel.
public struct LaunchRequest: Sendable {
    public var client: ClientID
    public var caller: Caller
    /// Node of each rank, in rank order; a node may stand here more than once.
    public var nodes: [Int32]
    /// The ranks' process numbers, in rank order: pids on the master's machine. Empty: the master
    /// chooses.
    public var processes: [Int32]
    /// Numbers among them that a process of the master's machine has: those ranks fail alone.
    public var refusedProcesses: Set<Int32> = []
    /// What all nodes are told; its chunk size is filled in by the plan.
    public var order: LaunchOrder
    /// 0: the planner chooses.
    public var fanOut: Int
    public var chunkByteCount: UInt32
    public var wantsProgress: Bool
    /// The client mirrors the stops of its ranks.
    public var wantsStops: Bool
    /// Tell how far each rank's node was when.
    public var wantsTimes = false
    /// nil: the program runs beside the master, and the master has the image.
    public var origin: LaunchOrigin?
    /// The caller itself goes on as the rank.
    public var isMove = false
    /// With it: the rank that the caller is.
    public var mover: ClientLaunch.Mover?

    public init(
        client: ClientID, caller: Caller, nodes: [Int32], processes: [Int32] = [],
        order: LaunchOrder, fanOut: Int, chunkByteCount: UInt32, wantsProgress: Bool,
        wantsStops: Bool = false, origin: LaunchOrigin? = nil
    ) {
        self.processes = processes
        self.origin = origin
        self.client = client
        self.caller = caller
        self.nodes = nodes
        self.order = order
        self.fanOut = fanOut
        self.chunkByteCount = chunkByteCount
        self.wantsProgress = wantsProgress
        self.wantsStops = wantsStops
    }
}

/// One launch as the master keeps it: the table of its ranks and the root of its relay tree. A
/// class, so that looking at one never copies the table.
final class MasterLaunch {
    enum RankState: Equatable, Sendable {
        case waiting
        case placed
        case failed(Int32)
        case ended
    }

    struct Rank: Sendable {
        let node: Int32
        /// Of one that has come from another master it may change.
        var process: Int32
        var state: RankState = .waiting
        /// An exit that overtook the news of its own start.
        var earlyExit: RankExit?
        /// A stop, or the end of one, that has overtaken it.
        var earlyStop: StopRecord?

    }

    /// Who hears of it; nil: nobody does. Its caller is another master's, or its ranks have
    /// outlived him.
    var client: ClientID?
    /// What its processes were before they came here; nil: they have been started here.
    let adoption: AdoptedLaunch?
    var origin: LaunchOrigin?
    let order: LaunchOrder
    let isMove: Bool
    let mover: ClientLaunch.Mover?
    let startedNanoseconds: UInt64
    let fanOut: Int
    let wantsProgress: Bool
    let wantsStops: Bool
    var ranks: [Rank]
    var relay: LaunchRelay
    /// Ranks whose processes run elsewhere by now.
    var moved: [UInt32: MovedRank] = [:]
    /// Set when a rank of another launch has moved by this one: that rank, as its caller knows it.
    var standsFor: RankPlace?
    /// With it: whose process has still to end on the node that it leaves.
    var predecessor: RankPlace?
    /// With it: the last numbered signal that the process got where it was.
    var handedSequence: UInt32 = 0
    /// Ranks that have stopped, as their nodes have told.
    var stopped: [UInt32: StopRecord] = [:]
    /// The numbers of the last stops and continues that ranks were sent.
    var sequences: [UInt32: UInt32] = [:]
    /// Signals to ranks that are still being started, by rank, in their order.
    var keptSignals: [UInt32: [RankSignal]] = [:]
    var outstandingCount: Int
    var placedCount = 0
    var failedCount = 0
    var endedCount = 0
    var undumpNanoseconds: [UInt32] = []
    /// In rank order; empty: nobody wants to know.
    var times: [StageTimes] = []
    var receivedChunkCountMaximum: UInt32 = 0
    /// Ranks that have other pids on their nodes than their ghosts, and the first of them.
    var otherPidCount = 0
    var firstOtherPid: UInt32 = .max
    /// How much of the relay's answers has been taken over.
    var placedRead = 0
    var failuresRead = 0
    var lossesRead = 0
    /// Nodes that have the launch, where it is watched: a lost relay never makes it fewer.
    var reachedCount = 0
    var isReported = false
    /// When the members of the tree are to be let go; nil: not yet complete, or done.
    var finishNanoseconds: UInt64?
    /// Its client is gone: ranks are ended as they appear.
    var isCondemned = false
    /// Its client has the ranks' numbers and leaves them behind when it goes.
    var isKept = false
    var progressNanoseconds: UInt64

    init(
        _ request: LaunchRequest, order: LaunchOrder, fanOut: Int, ranks: [Rank],
        relay: LaunchRelay, now: UInt64
    ) {
        adoption = nil
        origin = request.origin
        client = request.client
        isMove = request.isMove
        mover = request.mover
        wantsProgress = request.wantsProgress
        wantsStops = request.wantsStops
        self.order = order
        self.fanOut = fanOut
        self.ranks = ranks
        self.relay = relay
        outstandingCount = ranks.count
        startedNanoseconds = now
        progressNanoseconds = now
    }

    /// What was another master's.
    init(_ adoption: AdoptedLaunch, order: LaunchOrder, relay: LaunchRelay, now: UInt64) {
        self.adoption = adoption
        client = nil
        isMove = false
        mover = nil
        wantsProgress = false
        wantsStops = false
        self.order = order
        fanOut = 1
        ranks = []
        self.relay = relay
        outstandingCount = 0
        startedNanoseconds = now
        progressNanoseconds = now
        isReported = true
    }

    var isOver: Bool { isReported && endedCount + failedCount == ranks.count }

    /// The rank runs on this node, or is about to.
    func isAlive(_ index: Int, on node: Int32) -> Bool {
        let rank = ranks[index]
        return rank.node == node && (rank.state == .placed || rank.state == .waiting)
            && rank.earlyExit == nil && moved[UInt32(index)] == nil
    }

    /// The last stop or continue that a rank had got when it told this.
    func sequence(of record: StopRecord) -> UInt32 {
        record.sequence == 0 ? handedSequence : record.sequence
    }

    var report: LaunchReport {
        let sorted = undumpNanoseconds.sorted()
        func quantile(_ share: Double) -> UInt32 {
            sorted.isEmpty ? 0 : sorted[Int(share * Double(sorted.count - 1))]
        }
        return LaunchReport(
            launch: relay.launch,
            processes: ranks.map {
                if case .failed(let errorNumber) = $0.state { return -errorNumber }
                return $0.process
            }, times: times, placedCount: placedCount, elapsedNanoseconds: 0,
            undumpMedianNanoseconds: quantile(0.5), undump99thNanoseconds: quantile(0.99),
            receivedChunkCountMaximum: receivedChunkCountMaximum, otherPidCount: otherPidCount,
            firstOtherPid: firstOtherPid,
            chunkCount: order.chunkCount, fanOut: fanOut, chunkByteCount: order.chunkByteCount,
            imageByteCount: order.imageByteCount, unpackedByteCount: order.unpackedByteCount)
    }

    var progress: LaunchProgress {
        LaunchProgress(
            launch: relay.launch, rankCount: ranks.count, reachedCount: reachedCount,
            placedCount: placedCount, failedCount: failedCount, doneCount: endedCount,
            imageByteCount: order.imageByteCount)
    }
}
