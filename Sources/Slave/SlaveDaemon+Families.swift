import CSystem
import DaemonLog
import Host
import Logging
import SlaveCore
import System

// What ranks have started on this node, and what becomes of it.
extension SlaveDaemon {
    /// Most processes of one rank that are looked at.
    private static let memberLimit = 4096

    /// A rank has been started. Its pid is the number of its session; as long as a session has
    /// members, nobody else gets its number, so one that is given again has none any more.
    mutating func noteSession(of process: RankProcess) {
        for launch in sessions.keys { sessions[launch]?.remove(process.pid) }
        sessions[process.launch, default: []].insert(process.pid)
        guarded?.add(process.pid)
    }

    /// What a process has started, as far as the kernel tells. The orphans of the job's ranks that
    /// have ended belong to the first that lives.
    func family(of process: RankProcess) -> [ProcessFamily.Member] {
        guard let processes = host.programs.processesNumber else { return [] }
        var others: Set<Int32> = []
        let living = ranks.processes(ofLaunch: process.launch).filter { $0.exit == nil }
        if living.first === process {
            others = sessions[process.launch, default: []].subtracting(living.map(\.pid))
        }
        let family = ProcessFamily(
            ranks: [process.pid], sessions: others, orphans: orphans(in: processes),
            owner: process.pid, limit: Self.memberLimit
        ) { Self.children(of: $0, in: processes) }
        return family.members
    }

    /// The last rank of a launch has ended here. What its ranks have left has a moment to make a
    /// session of its own: a program that detaches ends its first process before it does that.
    mutating func partFrom(_ launch: UInt64) {
        guard let own = sessions[launch], let processes = host.programs.processesNumber,
            !family(ofSessions: own, in: processes).isEmpty
        else {
            forgetSessions(of: launch)
            return
        }
        partings.append(
            Parting(
                launch: launch,
                deadlineNanoseconds: Clock.monotonicNanoseconds + Self.partingNanoseconds))
    }

    @discardableResult
    private mutating func forgetSessions(of launch: UInt64) -> Set<Int32>? {
        let own = sessions.removeValue(forKey: launch)
        for session in own ?? [] { guarded?.remove(session) }
        return own
    }

    private static let partingNanoseconds: UInt64 = 300_000_000

    /// All partings take the same time, so the first is the one that is over first.
    mutating func endOverduePartings(now: UInt64) {
        while let first = partings.first, now >= first.deadlineNanoseconds {
            partings.removeFirst()
            endFamily(of: first.launch)
        }
    }

    /// Kills everybody but daemons. What is made while others are being killed is found in the next
    /// round.
    private mutating func endFamily(of launch: UInt64) {
        guard let processes = host.programs.processesNumber,
            let own = forgetSessions(of: launch)
        else { return }
        var killed: Set<Int32> = []
        for _ in 0..<Self.roundLimit {
            let found = family(ofSessions: own, in: processes).filter {
                killed.insert($0.process).inserted
            }
            guard !found.isEmpty else { break }
            for member in found { _ = bp_kill(member.process, 9) }
        }
        guard !killed.isEmpty else { return }
        host.log.launch.info("launch \(launch): ended \(killed.count) that its ranks have left")
    }

    static let roundLimit = 64

    /// What is left of ranks that have all ended.
    private func family(
        ofSessions sessions: Set<Int32>, in processes: Int32
    ) -> [ProcessFamily.Member] {
        let orphans = orphans(in: processes)
        guard !orphans.isEmpty else { return [] }
        let family = ProcessFamily(ranks: [], sessions: sessions, orphans: orphans, owner: 0) {
            Self.children(of: $0, in: processes)
        }
        return family.members
    }

    /// Processes whose parents have ended: they have gone to the first process of the namespace, or
    /// to the slave.
    private func orphans(in processes: Int32) -> [ProcessFamily.Orphan] {
        let found: [Int32]
        if let namespace {
            found = Self.children(of: namespace.initialPid, in: processes)
        } else {
            found = adoptsOrphans ? adoptedChildren(in: processes) : []
        }
        return found.compactMap { process in
            let session = bp_process_session(processes, process)
            guard session > 0 else { return nil }
            return ProcessFamily.Orphan(process: process, session: Int32(session))
        }
    }

    static func children(of parent: Int32, in processes: Int32) -> [Int32] {
        var children = [Int32](repeating: 0, count: memberLimit)
        let count = unsafe children.withUnsafeMutableBufferPointer {
            unsafe bp_process_children(processes, parent, $0.baseAddress!, $0.count)
        }
        return Array(children.prefix(max(0, count)))
    }
}

/// A launch whose ranks have ended here, and have left something.
struct Parting {
    let launch: UInt64
    let deadlineNanoseconds: UInt64
}
