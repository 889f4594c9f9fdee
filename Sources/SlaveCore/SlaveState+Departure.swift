import Relay
public import Wire

// To another master: what goes along, and what is ended.
extension SlaveState {
    /// The running ranks, as another master is told of them. A launch whose ranks are still held
    /// back stays behind: its programs have not begun.
    public var keptLaunches: [KeptLaunch] {
        launches.keys.sorted().compactMap { number in
            guard let known = launches[number], known.mayBeKept else { return nil }
            let ranks = known.ownRanks.indices.filter { known.rankStates[$0] == .running }
                .map {
                    KeptLaunch.Rank(
                        rank: known.ownRanks[$0].rank, process: known.ownRanks[$0].process)
                }
            guard !ranks.isEmpty else { return nil }
            return KeptLaunch(
                launch: number, user: known.order.user, group: known.order.group,
                supplementaryGroups: known.order.supplementaryGroups, ranks: ranks)
        }
    }

    /// The master that this slave had is left: what moves runs on, everything else is ended.
    public mutating func leave(taking moves: [LaunchMove], effects: inout [SlaveEffect]) {
        var moving: [UInt64: Set<UInt32>] = [:]
        for move in moves { moving[move.from] = Set(move.ranks.map(\.from)) }
        for launch in launches.keys.sorted() {
            guard let ranks = moving[launch] else {
                condemn(launch, effects: &effects)
                continue
            }
            endOthers(of: launch, than: ranks, effects: &effects)
            // The old master sees to the rest of the tree, as for any node that it loses.
            if launches[launch]?.isDone == false {
                launches[launch]?.isDone = true
                effects.append(.release(launch: launch))
            }
        }
    }

    /// Whether something of a launch is still here.
    public func knows(_ launch: UInt64) -> Bool { launches[launch] != nil }

    /// Ends what a launch has here beside these ranks.
    private mutating func endOthers(
        of launch: UInt64, than moving: Set<UInt32>, effects: inout [SlaveEffect]
    ) {
        guard var known = launches[launch] else { return }
        for (index, own) in known.ownRanks.enumerated() {
            switch known.rankStates[index] {
            case .running where moving.contains(own.rank): break
            case .running:
                effects.append(.signal(launch: launch, rank: own.rank, Self.end))
            case .spawning:
                // Nobody hears of it any more.
                known.rankStates[index] = .failed
                effects.append(.signal(launch: launch, rank: own.rank, Self.end))
            case .waiting: known.rankStates[index] = .failed
            case .ended, .failed: break
            }
        }
        launches[launch] = known
    }

    /// From now on these ranks are those of other launches, the new master's.
    /// - Returns: for each, whether it runs; one that has been told may have ended meanwhile.
    public mutating func adopt(
        _ moves: [LaunchMove], now: UInt64, effects: inout [SlaveEffect]
    ) -> [[Bool]] {
        var answers: [[Bool]] = []
        for move in moves {
            var ownRanks: [RelaySubtree.Rank] = []
            var runs: [Bool] = []
            for rank in move.ranks {
                let index = launches[move.from]?.index(ofRank: rank.from)
                guard let index, launches[move.from]?.rankStates[index] == .running else {
                    runs.append(false)
                    continue
                }
                runs.append(true)
                ownRanks.append(RelaySubtree.Rank(rank: rank.to.rank, process: rank.to.process))
                launches[move.from]?.rankStates[index] = .ended
            }
            answers.append(runs)
            guard let old = launches[move.from] else { continue }
            if !ownRanks.isEmpty {
                launches[move.to] = SlaveLaunch(
                    adopted: ownRanks, as: move.to, order: old.order, node: node, now: now)
            }
            closeIfOver(move.from, effects: &effects)
        }
        return answers
    }
}

/// Ranks of one launch here that another master has given places.
public struct LaunchMove: Equatable, Sendable {
    public struct Rank: Equatable, Sendable {
        public var from: UInt32
        public var to: Adoption.Place
    }

    public let from: UInt64
    public let to: UInt64
    public let ranks: [Rank]

    /// What a master has answered to what was told; nil: it is no answer to that.
    public static func moves(of kept: [KeptLaunch], by adoption: Adoption) -> [LaunchMove]? {
        var places = adoption.places[...]
        var taken: Set<UInt64> = []
        var moves: [LaunchMove] = []
        for launch in kept {
            let own = places.prefix(launch.ranks.count)
            guard own.count == launch.ranks.count, let number = own.first?.launch,
                taken.insert(number).inserted, own.allSatisfy({ $0.launch == number }),
                Set(own.map(\.rank)).count == own.count, own.allSatisfy({ $0.process > 0 })
            else { return nil }
            moves.append(
                LaunchMove(
                    from: launch.launch, to: number,
                    ranks: zip(launch.ranks, own).map { Rank(from: $0.rank, to: $1) }))
            places = places.dropFirst(launch.ranks.count)
        }
        return places.isEmpty ? moves : nil
    }
}

extension SlaveLaunch {
    /// Its ranks may run on under another master.
    fileprivate var mayBeKept: Bool {
        !isCondemned && (isDone || !order.flags.contains(.hold))
    }

    /// Ranks that run, and wait for nobody.
    fileprivate init(
        adopted ranks: [RelaySubtree.Rank], as launch: UInt64, order: LaunchOrder, node: Int32,
        now: UInt64
    ) {
        self.init(
            order: order, ownRanks: ranks,
            relay: LaunchRelay(
                launch: launch, node: node, order: order, orderBytes: [], parent: nil,
                subtrees: [], ownRankCount: 0, chunksHeld: order.chunkCount, now: now),
            rankStates: Array(repeating: .running, count: ranks.count), times: StageTimes())
        isDone = true
    }
}
