import Host
import DaemonLog
import Logging
import MasterCore
import Ring
import System
import Wire

// The site's programs for nodes that come and go: children of the master, waited for on the ring.
extension MasterDaemon {
    mutating func begin(_ run: HookRun) {
        let path = run.kind == .nodeUp ? configuration.nodeUpHook : configuration.nodeDownHook
        let log = "\(configuration.hookLogDirectory)/node.\(run.node)"
        do throws(SystemCallError) {
            let hook = try HookProcess(
                [path ?? "", "\(run.node)"],
                environment: ["BPROC_SOCKET=\(configuration.socketPath)"], log: log)
            host.log.hook.info(
                """
                node \(run.node): the \(run.kind.rawValue) hook runs as process \
                \(hook.child.identifier), output in \(log)
                """)
            let running = RunningHook(hook)
            hooks[run.number] = running
            watch(running, number: run.number)
        } catch {
            host.store.state.hookEnded(
                run.number, .failed("\(error)"), now: Clock.monotonicNanoseconds,
                effects: &host.effects)
        }
    }

    mutating func end(_ run: HookRun) { hooks[run.number]?.process.end() }

    private mutating func watch(_ hook: RunningHook, number: UInt32) {
        host.ring.poll(
            hook.process.child.descriptor.number, for: .readable,
            tag: OperationTag(kind: OperationKind.hook, slot: number))
    }

    /// A hook's supervisor has ended, and with it everything that had to end.
    mutating func hookIsReady(_ number: UInt32) {
        guard let hook = hooks[number] else { return }
        let outcome: HookOutcome
        do throws(SystemCallError) {
            guard let exit = try ChildExit.reap(pidfd: hook.process.child.descriptor.number) else {
                watch(hook, number: number)
                return
            }
            let status = exit.waitStatus
            outcome = .exited(status & 0x7f == 0 ? status >> 8 & 0xff : 128 + status & 0x7f)
        } catch {
            outcome = .failed("\(error)")
        }
        hooks[number] = nil
        host.store.state.hookEnded(
            number, outcome, now: Clock.monotonicNanoseconds, effects: &host.effects)
    }
}

/// A hook under way.
final class RunningHook {
    let process: HookProcess

    init(_ process: consuming HookProcess) { self.process = process }
}
