import Relay
public import Wire

/// Where the master keeps a process: a rank of a launch. The order is that of lists of processes.
public struct RankPlace: Hashable, Comparable, Sendable {
    public let launch: UInt64
    public let rank: UInt32

    public init(launch: UInt64, rank: UInt32) {
        self.launch = launch
        self.rank = rank
    }

    public static func < (left: RankPlace, right: RankPlace) -> Bool {
        (left.launch, left.rank) < (right.launch, right.rank)
    }
}

/// One process of the process space.
public struct ProcessEntry: Equatable, Sendable {
    public let place: RankPlace
    public let process: Int32
    public let node: Int32
    /// Whose it was when it was started.
    public let user: UInt32
    /// False: it is still being started.
    public let isRunning: Bool
}

// The process space: every process by its number, wherever it runs.
extension MasterState {
    /// How many processes are starting or running.
    public var processCount: Int { placeOfProcess.count }

    /// The process with this number; nil: there is none.
    public func process(_ number: Int32) -> ProcessEntry? {
        guard let place = placeOfProcess[number], let launch = launches[place.launch] else {
            return nil
        }
        return launch.entry(at: Int(place.rank))
    }

    /// A page of the list of processes.
    ///
    /// - Parameters:
    ///   - node: nil: on any node.
    ///   - place: the last entry of the page before; nil: the first page.
    /// - Returns: at most `limit` entries, and whether no page follows.
    public func processes(
        on node: Int32?, after place: RankPlace?, limit: Int
    ) -> (entries: [ProcessEntry], isLast: Bool) {
        var entries: [ProcessEntry] = []
        let first = place?.launch ?? 0
        for number in launches.keys.filter({ $0 >= first }).sorted() {
            guard let launch = launches[number] else { continue }
            let start = number == place?.launch ? Int(place!.rank) + 1 : 0
            guard start < launch.ranks.count else { continue }
            for index in start..<launch.ranks.count {
                guard node == nil || launch.ranks[index].node == node,
                    let entry = launch.entry(at: index),
                    // A process that has moved on is where it is now, not where its stand-in is.
                    placeOfProcess[entry.process] == entry.place
                else { continue }
                guard entries.count < limit else { return (entries, false) }
                entries.append(entry)
            }
        }
        return (entries, true)
    }

    /// Sends a signal to a process in this user's name, or to all of its job and what they have
    /// started. One that is still being started gets it when it is there.
    ///
    /// - Parameter number: 0: only whether it could be sent.
    public mutating func kill(
        _ process: Int32, signal number: Int32, wholeJob: Bool, by caller: Caller,
        effects: inout [MasterEffect]
    ) throws(NodeRefusal) {
        guard process > 0, (0...64).contains(number) else {
            throw NodeRefusal(
                FailureCode.invalidArgument,
                process > 0 ? "there is no signal \(number)" : "\(process) is no process number")
        }
        guard let place = placeOfProcess[process], let launch = launches[place.launch] else {
            throw NodeRefusal(FailureCode.noProcess, "there is no process \(process)")
        }
        guard caller.user == 0 || caller.user == launch.order.user else {
            throw NodeRefusal(
                FailureCode.notPermitted,
                "process \(process) is user \(launch.order.user)'s, not user \(caller.user)'s")
        }
        guard number > 0 else { return }
        signal(
            wholeJob ? shownPlace(of: place).launch : place.launch,
            rank: wholeJob ? FrameHeader.allRanks : place.rank,
            RankSignal(number, reach: wholeJob ? .descendants : .process), effects: &effects)
    }

    // MARK: Signals

    /// Sends a signal to one rank or to all. A rank that is still being started gets it when it is
    /// there, and nothing reaches one that has ended.
    public mutating func signal(
        _ launch: UInt64, rank: UInt32, _ signal: RankSignal, effects: inout [MasterEffect]
    ) {
        guard let known = launches[launch] else { return }
        guard rank == FrameHeader.allRanks else {
            guard Int(rank) < known.ranks.count else { return }
            send(signal, to: rank, of: known, effects: &effects)
            return
        }
        // Nodes of which only a part is there get the signal for each rank by itself.
        var unready = Set<Int32>()
        for entry in known.ranks where entry.state == .waiting { unready.insert(entry.node) }
        var reached = Set<Int32>()
        for (index, entry) in known.ranks.enumerated() where entry.state != .ended {
            if unready.contains(entry.node) || known.moved[UInt32(index)] != nil {
                send(signal, to: UInt32(index), of: known, effects: &effects)
            } else if entry.state == .placed, reached.insert(entry.node).inserted {
                send(signal.frame(launch: launch, rank: rank), to: entry.node, &effects)
            }
        }
    }

    private mutating func send(
        _ signal: RankSignal, to rank: UInt32, of launch: MasterLaunch,
        effects: inout [MasterEffect]
    ) {
        if signal.sequence != 0 { launch.sequences[rank] = signal.sequence }
        if let place = launch.moved[rank]?.place, let next = launches[place.launch] {
            send(signal, to: place.rank, of: next, effects: &effects)
            return
        }
        let entry = launch.ranks[Int(rank)]
        switch entry.state {
        case .waiting: launch.keep(signal, for: rank)
        // One that was given up may have started all the same.
        case .placed where launch.order.flags.contains(.home):
            effects.append(
                .signalHere(
                    process: entry.process, user: launch.order.user, signal: signal.number))
        case .placed, .failed:
            send(
                signal.frame(launch: launch.relay.launch, rank: rank), to: entry.node, &effects)
        case .ended: break
        }
    }

    private mutating func send(
        _ frame: [UInt8], to node: Int32, _ effects: inout [MasterEffect]
    ) {
        guard let link = nodes.record(of: node)?.link else { return }
        metrics.signalCount += 1
        effects.append(.control(link, frame: frame))
    }

    /// A rank is there: what was sent to it meanwhile follows, in its order.
    mutating func deliverKeptSignals(
        of launch: MasterLaunch, rank: UInt32, effects: inout [MasterEffect]
    ) {
        for kept in launch.keptSignals.removeValue(forKey: rank) ?? [] {
            send(kept, to: rank, of: launch, effects: &effects)
        }
    }

    // MARK: Numbers

    /// A number that no process has now.
    mutating func takeProcessNumber() -> Int32 {
        while true {
            let number = nextProcess
            nextProcess =
                nextProcess == ProcessNumber.last ? ProcessNumber.first : nextProcess + 1
            // A launch has fewer ranks than there are numbers, so this ends.
            if placeOfProcess[number] == nil { return number }
        }
    }

    /// The rank's process has ended, or will never be there. A later process of the same number,
    /// of which it was the stand-in, keeps its entry.
    mutating func forgetProcess(of launch: MasterLaunch, rank: Int) {
        let place = RankPlace(launch: launch.relay.launch, rank: UInt32(rank))
        let number = launch.ranks[rank].process
        if placeOfProcess[number] == place {
            placeOfProcess[number] = launch.isMove ? livingPlace(ofProcess: number) : nil
        }
        launch.keptSignals[UInt32(rank)] = nil
    }

    /// Where a process is that has not come to where it wanted to move, or has a stand-in left.
    private func livingPlace(ofProcess number: Int32) -> RankPlace? {
        var places: [RankPlace] = []
        for (launch, known) in launches where !known.isCondemned {
            for (index, rank) in known.ranks.enumerated()
            where rank.process == number && known.isAlive(index, on: rank.node) {
                places.append(RankPlace(launch: launch, rank: UInt32(index)))
            }
        }
        return places.max()
    }
}

extension MasterLaunch {
    /// Signals that are kept for one rank at most.
    private static let keptLimit = 64
    /// As in the kernel, a signal below this that is pending is pending once.
    private static let firstQueued: Int32 = 32

    func keep(_ signal: RankSignal, for rank: UInt32) {
        var kept = keptSignals[rank] ?? []
        guard kept.count < Self.keptLimit,
            signal.number >= Self.firstQueued || !kept.contains(signal)
        else { return }
        kept.append(signal)
        keptSignals[rank] = kept
    }

    /// nil: the rank's process has ended, or will never be there.
    func entry(at index: Int) -> ProcessEntry? {
        let rank = ranks[index]
        guard isAlive(index, on: rank.node) else { return nil }
        return ProcessEntry(
            place: RankPlace(launch: relay.launch, rank: UInt32(index)), process: rank.process,
            node: rank.node, user: order.user, isRunning: rank.state == .placed)
    }
}
