import Glibc
import GhostCore
import System

// Ghosts that become their ranks' processes again: one at a time, after what the rank has written
// where it was.
extension GhostServer {
    mutating func goOnWithHomecomings() {
        if let home = homecoming, !home.isUnderWay, !group.isAwaiting(home.ghost) {
            // The ghost has ended, or is about to.
            give(up: home, errorNumber: 3)
        }
        // Until it has adopted its ghosts the caller would take the orphans of one that is a
        // process already.
        guard isConfirmed else { return }
        while homecoming == nil, output.isEmpty,
            let next = arrivals.firstIndex(where: { !group.isStopped($0.rank) })
        {
            let arrival = arrivals.remove(at: next)
            if group.rankArrives(arrival.rank) { begin(arrival) }
        }
    }

    private mutating func begin(_ arrival: RankArrival) {
        do throws(SystemCallError) {
            let home = try Homecoming(arrival, ghost: arrival.rank)
            homecoming = home
            try home.bring(memory)
        } catch {
            // The slave gives it up, and the process goes on where it is.
            group.arrivalFailed(arrival.rank)
            if let home = homecoming { give(up: home, errorNumber: error.errorNumber) }
        }
    }

    /// The signal by which it says that it has come a ghost may get, or end by, as any other.
    func isExpected(_ ghost: Int) -> Bool {
        homecoming?.ghost == ghost && homecoming?.isUnderWay == false && !group.isOrdered(ghost)
    }

    /// The ghost has come for it. The slave has the last word: from then on it ends the ghost if
    /// this process ends, so that there are never two.
    mutating func ghostHasCome(_ ghost: Int) {
        var errorNumber = memory.bringingError
        if errorNumber == 0, group.canLeave(ghost), let home = homecoming {
            errorNumber = home.leave()
        }
        group.ghostHasCome(ghost, hasAll: errorNumber == 0, effects: &effects)
        carryOut()
        if let home = homecoming, !home.isUnderWay {
            // EAGAIN
            give(up: home, errorNumber: errorNumber != 0 ? errorNumber : 11)
        }
    }

    mutating func letGo(_ ghost: Int) {
        homecoming?.setUp(pids[ghost])
        // One that has been killed meanwhile has come home all the same, and ends as that.
        memory.letGo(ghost)
        homecoming?.letGo()
    }

    /// The ghost has executed the image, or could not.
    mutating func hearHomecoming() {
        guard let home = homecoming, let errorNumber = home.result() else { return }
        homecoming = nil
        let isHeard = home.tell(errorNumber: errorNumber)
        if errorNumber != 0 {
            group.ghostIsLost(home.ghost, effects: &effects)
        } else if !isHeard {
            // Nobody can say that it is here, so it goes on where it was.
            _ = kill(pids[home.ghost], SIGKILL)
        }
    }

    private mutating func give(up home: Homecoming, errorNumber: Int32) {
        _ = home.tell(errorNumber: errorNumber)
        homecoming = nil
    }
}
