import CSystem
import Host
import Ring
import SlaveCore
import System
import Wire

// Signals to ranks, and what ranks tell of themselves by stopping and going on.
extension SlaveDaemon {
    private static let (kill, stop, go): (Int32, Int32, Int32) = (9, 19, 18)
    /// What a terminal stops a job with: SIGTSTP, SIGTTIN, SIGTTOU.
    private static let terminalStops: ClosedRange<Int32> = 20...22

    mutating func signal(launch: UInt64, rank: UInt32, _ signal: RankSignal) {
        guard let process = ranks.process(launch: launch, rank: rank), process.exit == nil else {
            if signal.number == Self.kill { endArrival(launch: launch, rank: rank) }
            return
        }
        // What has happened before must not be told as what came of this signal.
        takeStops()
        if signal.sequence != 0 { process.sequence = signal.sequence }
        switch signal.reach {
        case .process: send(signal.number, to: process.pid)
        case .group: signalGroup(of: process, number: signal.number)
        case .descendants:
            let others = family(of: process)
            signalGroup(of: process, number: signal.number)
            for other in others { send(signal.number, to: other.process) }
        }
        // What was told before has an older number and may be dropped. So where the signal need not
        // change anything, it is told once more how things stand.
        let mayStop = Self.terminalStops.contains(signal.number)
        let hasStopped = signal.number == Self.stop && process.stopSignal != 0
        if signal.sequence != 0, mayStop || hasStopped { tellOfStop(process) }
    }

    /// Each rank leads a session and a group of its own: what it started gets the signal as well.
    private func signalGroup(of process: RankProcess, number: Int32) {
        guard Self.terminalStops.contains(number) else {
            if bp_kill(-process.pid, number) < 0 { _ = bp_kill(process.pid, number) }
            return
        }
        // Each member may take it in another way.
        let others = family(of: process).filter {
            bp_process_group($0.process) == Int(process.pid)
        }
        send(number, to: process.pid)
        for other in others { send(number, to: other.process) }
    }

    /// The stops of a terminal do not stop a process in a session without one, unless it has seen
    /// to that itself: the kernel drops them, since no shell is there to let it go on. Its ghost's
    /// shell is.
    private func send(_ number: Int32, to pid: Int32) {
        var number = number
        if Self.terminalStops.contains(number), takesDefault(pid, number) { number = Self.stop }
        _ = bp_kill(pid, number)
    }

    private func takesDefault(_ pid: Int32, _ number: Int32) -> Bool {
        guard let processes = host.programs.processesNumber else { return true }
        return bp_process_takes_default(processes, pid, number) != 0
    }

    // MARK: Stops

    mutating func pollStops() {
        host.ring.poll(
            children.number, for: .readable,
            tag: OperationTag(kind: OperationKind.childNews, slot: 0))
    }

    mutating func childNewsIsThere() {
        bp_drain_child_descriptor(children.number)
        takeStops()
        buryOrphans()
        pollStops()
    }

    /// Takes what the kernel has to tell of ranks that have stopped or go on. Of one that has done
    /// both it tells the last.
    private mutating func takeStops() {
        var news = bp_child_stop()
        while unsafe bp_next_child_stop(&news) == 1 {
            guard let process = ranks.all.first(where: { $0.pid == news.pid }) else { continue }
            process.stopSignal = news.signal
            if process.isPlaced { tellOfStop(process) }
        }
    }

    mutating func tellOfStop(_ process: RankProcess) {
        host.store.state.rankStopped(
            StopRecord(
                launch: process.launch, rank: process.rank, signal: process.stopSignal,
                sequence: process.sequence), effects: &host.effects)
    }
}
