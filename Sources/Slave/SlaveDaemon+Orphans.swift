import CSystem
import DaemonLog
import Host
import Logging
import System

/// The sessions of a slave's ranks, as the process knows them that ends what is left of them when
/// the slave is killed. The mapping lives as long as the slave.
@safe struct GuardedSessions {
    private let memory: OpaquePointer
    /// The guardian, a child of the slave; nil: none runs.
    let guardian: Int32?

    /// - Parameter processes: a procfs; nil: there is none to see processes by.
    init?(processes: Int32?) {
        guard let memory = unsafe bp_guarded_map() else { return nil }
        unsafe self.memory = memory
        guard let processes else {
            guardian = nil
            return
        }
        let pid = unsafe bp_start_guardian(memory, processes)
        guardian = pid > 0 ? Int32(pid) : nil
    }

    func add(_ session: Int32) { unsafe bp_guarded_add(memory, session) }
    func remove(_ session: Int32) { unsafe bp_guarded_remove(memory, session) }
}

// Orphans where there is no pid namespace: they become the slave's own children.
extension SlaveDaemon {
    mutating func beginAdopting() {
        let result = bp_adopt_orphans()
        guard result == 0 else {
            host.log.daemon.warning("orphans are not adopted: error \(-result)")
            return
        }
        adoptsOrphans = true
        guarded = GuardedSessions(processes: host.programs.processesNumber)
        if guarded?.guardian == nil {
            host.log.daemon.warning("what ranks have started outlives a slave that is killed")
        }
    }

    /// Children of the slave that it has not started.
    func adoptedChildren(in processes: Int32) -> [Int32] {
        let own = Set(ranks.all.map(\.pid))
        return Self.children(of: bp_own_pid(), in: processes).filter {
            !own.contains($0) && $0 != guarded?.guardian
        }
    }

    /// Nobody else does it.
    func buryOrphans() {
        guard adoptsOrphans, let processes = host.programs.processesNumber else { return }
        for child in adoptedChildren(in: processes)
        where bp_process_has_ended(processes, child) != 0 { bp_bury(child) }
    }

    /// The slave ends, and with it whatever is below it.
    func endAdopted() {
        guard adoptsOrphans, let processes = host.programs.processesNumber else { return }
        var killed: Set<Int32> = []
        for _ in 0..<Self.roundLimit {
            var found: [Int32] = []
            var parents = Self.children(of: bp_own_pid(), in: processes)
            while let parent = parents.popLast() {
                guard parent != guarded?.guardian else { continue }
                if killed.insert(parent).inserted { found.append(parent) }
                parents += Self.children(of: parent, in: processes)
            }
            guard !found.isEmpty else { return }
            for process in found { _ = bp_kill(process, 9) }
        }
    }
}
