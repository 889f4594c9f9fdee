public import Relay
public import Wire

/// A slave that brings processes along, until it has told of them all: it has no place yet, and may
/// go back to the master that it has.
struct KeptArrival: Sendable {
    let hello: Hello
    let arrival: Arrival
    var kept: [KeptLaunch] = []
    var ranks: Set<RankPlace> = []
    var processes: Set<Int32> = []
    var byteCount = 0
    let beginNanoseconds: UInt64

    init(_ hello: Hello, _ arrival: Arrival, now: UInt64) {
        self.hello = hello
        self.arrival = arrival
        beginNanoseconds = now
    }

    /// - Returns: why this cannot be so; nil: it may be.
    mutating func add(_ launch: KeptLaunch, byteCount added: Int) -> String? {
        byteCount += added
        guard byteCount <= KeptLaunch.byteLimit,
            ranks.count + launch.ranks.count <= KeptLaunch.rankLimit
        else { return Self.excess }
        for rank in launch.ranks {
            let place = RankPlace(launch: launch.launch, rank: rank.rank)
            guard ranks.insert(place).inserted else {
                return "rank \(rank.rank) of launch \(launch.launch) is told twice"
            }
            guard processes.insert(rank.process).inserted else {
                return "process \(rank.process) is told twice"
            }
        }
        guard let last = kept.last, last.launch == launch.launch else {
            guard !kept.contains(where: { $0.launch == launch.launch }) else {
                return "launch \(launch.launch) is told twice"
            }
            kept.append(launch)
            return nil
        }
        guard last.user == launch.user, last.group == launch.group,
            last.supplementaryGroups == launch.supplementaryGroups
        else { return "launch \(launch.launch) has two users" }
        kept[kept.count - 1].ranks += launch.ranks
        return nil
    }

    static let excess = "a slave brings \(KeptLaunch.rankLimit) processes at most"
}

/// What was one launch of another master's, of one user.
struct AdoptedLaunch: Hashable, Sendable {
    let master: UInt64
    let launch: UInt64
    let user: UInt32
    let group: UInt32
    let supplementaryGroups: [UInt32]

    init(_ kept: KeptLaunch, of master: UInt64) {
        self.master = master
        launch = kept.launch
        user = kept.user
        group = kept.group
        supplementaryGroups = kept.supplementaryGroups
    }
}

// Slaves that come from another master with their processes.
extension MasterState {
    /// Asks a slave what it brings along. It is let in when all of it is known.
    mutating func begin(_ arrival: KeptArrival, effects: inout [MasterEffect]) {
        let link = arrival.arrival.link
        func refuse(_ sentence: String) { effects.append(.refuse(link, reason: sentence)) }
        switch nodes.place(for: arrival.hello, arrival.arrival) {
        case .failure(let refusal): refuse(refusal.sentence)
        case .success(let node):
            guard arrival.hello.node == node else {
                refuse("a slave that brings processes says which node it is")
                return
            }
            guard arrival.hello.keptCount <= KeptLaunch.rankLimit else {
                refuse(KeptArrival.excess)
                return
            }
            // One for each node: so what is kept for them has a bound.
            guard !arrivals.values.contains(where: { $0.hello.node == node }) else {
                refuse("node \(node) is about to be let in")
                return
            }
            arrivals[link] = arrival
            effects.append(
                .control(link, frame: FrameHeader.frame(FrameHeader(.keptRequest))))
        }
    }

    /// A part of what a slave brings along.
    ///
    /// - Parameters:
    ///   - isLast: that was all.
    ///   - isTaken: whether a process of the master's own machine has a number.
    public mutating func receiveKept(
        _ launch: KeptLaunch, byteCount: Int, isLast: Bool, from link: LinkID, now: UInt64,
        isTaken: (Int32) -> Bool, effects: inout [MasterEffect]
    ) {
        guard arrivals[link] != nil else {
            effects.append(.refuse(link, reason: "nobody has asked what it brings"))
            controlIsLost(
                link, reason: "it told what nobody has asked", now: now, effects: &effects)
            return
        }
        if let sentence = arrivals[link]?.add(launch, byteCount: byteCount) {
            arrivals[link] = nil
            effects.append(.refuse(link, reason: sentence))
            return
        }
        guard isLast, let whole = arrivals.removeValue(forKey: link) else { return }
        // Another slave may have taken the place meanwhile.
        switch nodes.place(for: whole.hello, whole.arrival) {
        case .failure(let refusal): effects.append(.refuse(link, reason: refusal.sentence))
        case .success(let node):
            admit(
                whole.hello, as: node, whole.arrival, adopting: whole.kept,
                taken: whole.processes.filter(isTaken), now: now, effects: &effects)
        }
    }

    /// Gives every process of a slave that comes a place and a number here. Nobody waits for them:
    /// they are listed, signalled, and forgotten when they have ended.
    ///
    /// - Parameters:
    ///   - master: the one that the slave comes from.
    ///   - taken: numbers that processes of this machine have.
    mutating func adopt(
        _ kept: [KeptLaunch], on node: Int32, of master: UInt64, taken: Set<Int32>, now: UInt64,
        effects: inout [MasterEffect]
    ) -> Adoption {
        var places: [Adoption.Place] = []
        for old in kept where !old.ranks.isEmpty {
            let number = launchNumber(
                of: AdoptedLaunch(old, of: master), rankCount: old.ranks.count, now: now)
            guard let launch = launches[number] else { continue }
            for rank in old.ranks {
                var process = rank.process
                if taken.contains(process) || placeOfProcess[process] != nil {
                    process = takeProcessNumber()
                    effects.append(
                        .note(
                            "process \(rank.process) of node \(node) is process \(process) here"))
                }
                let place = RankPlace(launch: number, rank: UInt32(launch.ranks.count))
                launch.ranks.append(MasterLaunch.Rank(node: node, process: process, state: .placed))
                launch.placedCount += 1
                placeOfProcess[process] = place
                lostProcesses.forget(process)
                places.append(
                    Adoption.Place(launch: number, rank: place.rank, process: process))
            }
        }
        metrics.adoptedRankCount += UInt64(places.count)
        effects.append(
            .note("node \(node) brings \(places.count) processes from another master"))
        return Adoption(places: places)
    }

    /// The launch here for what was one elsewhere. Its nodes may come one after the other.
    private mutating func launchNumber(
        of adopted: AdoptedLaunch, rankCount: Int, now: UInt64
    ) -> UInt64 {
        if let known = adoptedLaunches[adopted], let launch = launches[known],
            launch.ranks.count + rankCount <= Self.rankLimit
        {
            return known
        }
        let number = takeLaunchNumber()
        let order = LaunchOrder(
            imageByteCount: 1, chunkByteCount: ChunkSize.granularity, user: adopted.user,
            group: adopted.group, supplementaryGroups: adopted.supplementaryGroups, umask: 0,
            nice: 0, limits: [], descriptors: .listed([]), directory: "/", command: "",
            stallMilliseconds: 1000)
        let relay = LaunchRelay(
            launch: number, node: -1, order: order, orderBytes: [], parent: nil, subtrees: [],
            ownRankCount: 0, chunksHeld: order.chunkCount, now: now)
        launches[number] = MasterLaunch(adopted, order: order, relay: relay, now: now)
        adoptedLaunches[adopted] = number
        return number
    }

    mutating func takeLaunchNumber() -> UInt64 {
        defer { nextLaunch += 1 }
        return nextLaunch
    }

    /// A process of this machine has the number of one that has come from another master, which
    /// gets another.
    mutating func giveUpAdoptedNumber(_ process: Int32, effects: inout [MasterEffect]) {
        guard let place = placeOfProcess[process], let launch = launches[place.launch],
            launch.adoption != nil
        else { return }
        let number = takeProcessNumber()
        launch.ranks[Int(place.rank)].process = number
        placeOfProcess[number] = place
        placeOfProcess[process] = nil
        effects.append(
            .warning(
                "process \(process) of node \(launch.ranks[Int(place.rank)].node) is process "
                    + "\(number) from now on: another has its number"))
    }

    // MARK: Time

    var arrivalDeadlineNanoseconds: UInt64 {
        let first = arrivals.values.lazy.map(\.beginNanoseconds).min()
        return first.map { $0 + configuration.pingTimeoutNanoseconds } ?? .max
    }

    mutating func endOverdueArrivals(now: UInt64, effects: inout [MasterEffect]) {
        guard now >= arrivalDeadlineNanoseconds else { return }
        for (link, arrival) in arrivals
        where now >= arrival.beginNanoseconds + configuration.pingTimeoutNanoseconds {
            arrivals[link] = nil
            effects.append(.refuse(link, reason: "it has not told what it brings along"))
        }
    }
}
