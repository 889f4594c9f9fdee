import Relay
import Wire

/// One launch on one slave: its relay, its ranks, and how far the image has come.
struct SlaveLaunch: Sendable {
    enum RankState: Equatable, Sendable {
        case waiting
        case spawning
        case running
        case ended
        case failed
    }

    let order: LaunchOrder
    let ownRanks: [RelaySubtree.Rank]
    var relay: LaunchRelay
    var rankStates: [RankState]
    /// The node refused the image: it relays, but starts nothing.
    var isRefused = false
    /// Every rank of the launch has an answer; the relay has nothing left to do.
    var isDone = false
    /// The caller is gone or was told that this node failed: ranks are ended as they appear.
    var isCondemned = false
    var isStorageOpen = false
    /// Chunks received in whole or in part, over all parents.
    var receivedChunkCount: UInt32 = 0
    var queriedNanoseconds: UInt64 = 0
    /// How far the image had come when.
    var times: StageTimes

    func index(ofRank rank: UInt32) -> Int? {
        ownRanks.firstIndex { $0.rank == rank }
    }

    var hasLivingRanks: Bool {
        rankStates.contains { $0 == .spawning || $0 == .running }
    }

    /// No rank will ever do anything again.
    var isSettled: Bool {
        rankStates.allSatisfy { $0 == .ended || $0 == .failed }
    }
}
