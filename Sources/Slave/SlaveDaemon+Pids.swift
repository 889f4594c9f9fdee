import CSystem
import Host
import DaemonLog
import Logging
import ProcessImage
import Ring
import System

// The pids of processes: where the slave may, they are those of the front end.
extension SlaveDaemon {
    /// Processes that ask for no pid get theirs from the upper half of what the kernel has, where
    /// the front end comes last; and not all nodes the same.
    private var firstFreePid: Int32 {
        let half: UInt64 = 1 << 21
        return Int32(half + host.incarnation % (half / 2))
    }

    mutating func beginNamespace() {
        let consequence = "processes here have pids that differ from those on the front end"
        // Programs that come home are among the programs of the front end.
        guard configuration.node != -1 else {
            beginAdopting()
            return
        }
        guard isPrivileged else {
            host.log.daemon.notice("this slave is not root: \(consequence)")
            beginAdopting()
            return
        }
        do throws(SystemCallError) {
            let namespace = try PidNamespace(restorer: restorer, firstPid: firstFreePid)
            host.ring.poll(
                namespace.initialProcess.number, for: .readable,
                tag: OperationTag(kind: OperationKind.namespaceEnd, slot: 0))
            self.namespace = namespace
        } catch {
            host.log.daemon.warning("\(error): \(consequence)")
            if !adoptsOrphans { beginAdopting() }
        }
    }

    /// Somebody has killed the first process of the namespace, and so everything in it.
    mutating func namespaceHasEnded() {
        if let namespace {
            host.log.daemon.error("the pid namespace has ended, and all processes in it")
            _ = try? ChildExit.reap(pidfd: namespace.initialProcess.number)
        }
        namespace = nil
        beginNamespace()
    }

    /// - Parameter hasOtherPid: becomes true if the process has another pid than it should.
    func spawn(
        _ plan: RestorePlan, mayHaveAnyPid: Bool, hasOtherPid: inout Bool
    ) throws(RestoreFailure) -> ChildProcess {
        do throws(RestoreFailure) {
            return try plan.spawn(restorer: restorer)
        } catch {
            guard let pid = plan.wantedPid, error.isTakenPid else { throw error }
            guard mayHaveAnyPid else { throw error }
            host.log.daemon.notice("process \(pid) runs under another pid here: its own is taken")
            var plan = plan
            plan.wantedPid = nil
            hasOtherPid = true
            return try plan.spawn(restorer: restorer)
        }
    }
}
