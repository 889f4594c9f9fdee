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
        while homecoming == nil, output.isEmpty, !arrivals.isEmpty {
            let arrival = arrivals.removeFirst()
            if group.rankArrives(arrival.rank) { begin(arrival) }
        }
    }

    private mutating func begin(_ arrival: RankArrival) {
        let ghost = arrival.rank
        do throws(SystemCallError) {
            let home = try Homecoming(arrival, ghost: ghost)
            do throws(SystemCallError) {
                try home.bring(memory, pid: pids[ghost])
                homecoming = home
            } catch {
                home.tell(errorNumber: error.errorNumber)
                throw error
            }
        } catch {
            // The slave gives it up, and the process goes on where it is.
            group.arrivalFailed(ghost)
        }
    }

    /// The ghost has come for it.
    mutating func ghostHasCome(_ ghost: Int) {
        let errorNumber = memory.bringingError
        group.ghostHasCome(ghost, hasAll: errorNumber == 0, effects: &effects)
        carryOut()
        if let home = homecoming, !home.isUnderWay {
            give(up: home, errorNumber: max(errorNumber, 3))
        }
    }

    mutating func letGo(_ ghost: Int) {
        // One that has been killed meanwhile has come home all the same, and ends as that.
        memory.letGo(ghost)
        homecoming?.letGo()
    }

    /// The ghost has executed the image, or could not.
    mutating func hearHomecoming() {
        guard let home = homecoming, let errorNumber = home.result() else { return }
        home.tell(errorNumber: errorNumber)
        homecoming = nil
        if errorNumber != 0 { group.ghostIsLost(home.ghost, effects: &effects) }
    }

    private mutating func give(up home: Homecoming, errorNumber: Int32) {
        home.tell(errorNumber: errorNumber)
        homecoming = nil
    }
}
