import DaemonLog
import Host
import Logging
import SlaveCore
import System
import Wire

// To another master, with the processes that run here.
extension SlaveDaemon {
    /// A master that does not know this slave asks what it would bring along.
    mutating func tellOfKept() {
        guard attempt != nil, control != nil, attempt?.kept.isEmpty == true else { return }
        let kept = host.store.state.keptLaunches
        guard let link = attempt?.link else { return }
        guard !kept.isEmpty else {
            // All have ended since the hello.
            let none = KeptLaunch(launch: 0, user: 0, group: 0, supplementaryGroups: [], ranks: [])
            host.send(none.frame(isLast: true), on: link)
            return
        }
        attempt?.kept = kept
        for frame in KeptLaunch.frames(kept) { host.send(frame, on: link) }
    }

    /// What the answer of the master is to what was told, once it is welcome.
    func moves(of attempt: MasterAttempt) throws(AdoptionFailure) -> [LaunchMove] {
        guard let adoption = attempt.adoption else { return [] }
        guard let moves = LaunchMove.moves(of: attempt.kept, by: adoption) else {
            throw AdoptionFailure()
        }
        for move in moves where host.store.state.knows(move.to) { throw AdoptionFailure() }
        return moves
    }

    /// The master that this slave had is out; what has moved is the other's now.
    mutating func take(_ moves: [LaunchMove], exits: [ExitRecord]) -> [ExitRecord] {
        host.store.state.leave(taking: moves, effects: &host.effects)
        // Signals and slots still go by the old numbers.
        carryOutEffects()
        let runs = host.store.state.adopt(
            moves, now: Clock.monotonicNanoseconds, effects: &host.effects)
        var records: [ExitRecord] = []
        for (launch, runs) in zip(moves, runs) {
            for (rank, isRunning) in zip(launch.ranks, runs) {
                if isRunning {
                    transfer(rank, of: launch)
                } else {
                    records.append(Self.end(of: rank, of: launch, among: exits))
                }
            }
            if let own = sessions.removeValue(forKey: launch.from) { sessions[launch.to] = own }
        }
        return records
    }

    private mutating func transfer(_ rank: LaunchMove.Rank, of launch: LaunchMove) {
        guard let process = ranks.process(launch: launch.from, rank: rank.from) else { return }
        ranks.move(process, toLaunch: launch.to, rank: rank.to.rank)
        process.sequence = 0
        // Nobody gives input any more, and nobody takes output: it is read, so that the program
        // goes on, and dropped.
        if process.input != nil { endInput(of: process) }
        for stream in 1...2 where process.outputs[stream - 1] != nil {
            process.outputs[stream - 1]?.isDropped = true
            pollOutput(process, stream: stream)
        }
    }

    /// How one has ended that was told to be running.
    private static func end(
        of rank: LaunchMove.Rank, of launch: LaunchMove, among exits: [ExitRecord]
    ) -> ExitRecord {
        var record =
            exits.first { $0.launch == launch.from && $0.rank == rank.from }
            ?? ExitRecord(launch: 0, rank: 0, waitStatus: 0)
        record.launch = launch.to
        record.rank = rank.to.rank
        return record
    }
}

/// The master's answer is none to what this slave has told.
struct AdoptionFailure: Error {
    let sentence = "it gives the processes of this node no places that can be used"
}
