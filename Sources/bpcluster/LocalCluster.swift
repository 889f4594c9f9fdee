import BProc
import CSystem
import CommandSupport
import Glibc
import System

/// Starts and stops the daemons of a directory.
struct LocalCluster {
    let directory: ClusterDirectory

    /// After TERM the daemons have this long before KILL.
    private static let graceNanoseconds: UInt64 = 5_000_000_000

    /// Starts everything and waits until all nodes are up. Whatever goes wrong, or whoever
    /// interrupts it: nothing that was started stays.
    func start(
        _ plan: ClusterPlan, signals: borrowing SignalDescriptor
    ) throws(CommandError) {
        try directory.create()
        do throws(CommandError) {
            // Each slave holds links to its neighbours in the tree, the master one to each slave.
            _ = bp_command_raise_descriptor_limit(UInt64(4 * plan.nodeCount + 1024))
            let port = bp_command_free_port()
            guard port > 0 else {
                throw CommandError("no free port: \(SystemCallError.message(for: Int32(-port)))")
            }
            setenv("BPROC_SOCKET", to: directory.socket)
            try startMaster(plan, port: port)
            try waitForMaster(plan, signals: signals)
            try startFrontEnd(plan, port: port)
            try startSlaves(plan, port: port, signals: signals)
            try waitUntilUp(plan, signals: signals)
        } catch {
            _ = try? stop()
            throw error
        }
    }

    private func setenv(_ name: String, to value: String) {
        _ = unsafe Glibc.setenv(name, value, 1)
    }

    private func startMaster(_ plan: ClusterPlan, port: Int) throws(CommandError) {
        let arguments =
            [
                "--foreground", "--listen", "\(LocalAddress.master):\(port)", "--socket",
                directory.socket, "--nodes", "\(plan.nodeCount)",
            ] + plan.masterArguments
        let log = try directory.openLog(directory.masterLog)
        try directory.add([try startDaemon("master", plan.master, arguments, log)])
    }

    /// The slave beside the master, for processes that move home.
    private func startFrontEnd(_ plan: ClusterPlan, port: Int) throws(CommandError) {
        let arguments =
            ["--foreground", "--front-end", "--arena", "0"] + plan.slaveArguments
            + ["\(LocalAddress.master):\(port)"]
        let log = try directory.openLog(directory.frontEndLog)
        try directory.add([
            try startDaemon(ClusterDirectory.frontEndName, plan.slave, arguments, log)
        ])
    }

    private func startSlaves(
        _ plan: ClusterPlan, port: Int, signals: borrowing SignalDescriptor
    ) throws(CommandError) {
        for node in 0..<plan.nodeCount {
            let arguments =
                [
                    "--foreground", "--node", "\(node)", "--listen", LocalAddress.node(node),
                    "--arena", "\(plan.arenaByteCount)",
                ] + plan.slaveArguments + ["\(LocalAddress.master):\(port)"]
            let log = try directory.openLog(directory.slaveLog(node))
            try directory.add([try startDaemon("\(node)", plan.slave, arguments, log)])
            try checkInterrupt(signals)
        }
    }

    private func startDaemon(
        _ name: String, _ program: String, _ arguments: [String], _ log: borrowing OwnedDescriptor
    ) throws(CommandError) -> ClusterDirectory.Daemon {
        let pid: Int32
        do throws(SystemCallError) {
            pid = try LocalProgram.startDaemon(program, arguments: arguments, output: log)
        } catch {
            throw CommandError("starting \(name): \(error)")
        }
        // It is our child and not reaped yet, so the pid is still its own.
        guard let identity = ProcessIdentity(pid: pid) else {
            throw CommandError("/proc does not show process \(pid), which was just started")
        }
        return ClusterDirectory.Daemon(name: name, identity: identity)
    }

    private func checkInterrupt(_ signals: borrowing SignalDescriptor) throws(CommandError) {
        if let signal = try? signals.next() {
            throw CommandError(
                "interrupted; nothing is left running",
                exitStatus: ExitStatus.signalBase + signal)
        }
    }

    /// A slave that finds no master ends, so the first one must not be faster than it.
    private func waitForMaster(
        _ plan: ClusterPlan, signals: borrowing SignalDescriptor
    ) throws(CommandError) {
        let begin = Stopwatch.nanoseconds()
        while (try? Cluster().nodes()) == nil {
            try checkInterrupt(signals)
            try checkAlive()
            guard Stopwatch.nanoseconds() - begin <= plan.timeoutNanoseconds else {
                throw CommandError(
                    "the master does not answer: "
                        + (directory.lastLine(of: directory.masterLog) ?? "its log is empty"))
            }
            var entries = [Poll.Entry(signals.number, Poll.readable)]
            try? Poll.wait(&entries, timeoutMilliseconds: 5)
        }
    }

    private func waitUntilUp(
        _ plan: ClusterPlan, signals: borrowing SignalDescriptor
    ) throws(CommandError) {
        let begin = Stopwatch.nanoseconds()
        var line = StatusLine()
        defer { line.clear() }
        while true {
            try checkInterrupt(signals)
            try checkAlive()
            let upCount = (try? Cluster().nodes().count { $0.state == "up" }) ?? 0
            let elapsed = Stopwatch.nanoseconds() - begin
            line.show(
                "\(upCount)/\(plan.nodeCount) nodes up, \(Stopwatch.seconds(elapsed, digits: 1)) s")
            if upCount >= plan.nodeCount { return }
            if elapsed > plan.timeoutNanoseconds {
                throw CommandError(
                    "\(upCount) of \(plan.nodeCount) nodes are up after "
                        + "\(Stopwatch.seconds(elapsed, digits: 0)) s; "
                        + (directory.lastLine(of: directory.masterLog)
                            ?? "the master's log is empty"))
            }
            var entries = [Poll.Entry(signals.number, Poll.readable)]
            try? Poll.wait(&entries, timeoutMilliseconds: 50)
        }
    }

    /// A daemon that ends while the cluster comes up is a failure of the whole.
    private func checkAlive() throws(CommandError) {
        guard let (pid, status) = LocalProgram.reap(-1, waits: false) else { return }
        let daemon = try directory.daemons().first { $0.identity.pid == pid }
        let name = daemon?.name ?? "\(pid)"
        let isFrontEnd = name == ClusterDirectory.frontEndName
        let log =
            name == "master"
            ? directory.masterLog
            : isFrontEnd ? directory.frontEndLog : directory.slaveLog(Int(name) ?? 0)
        let who = name == "master" ? "bpmaster" : "bpslave of \(isFrontEnd ? "" : "node ")\(name)"
        let ending = WaitStatus(rawValue: status)
        let how = ending.signal.map { "signal \($0)" } ?? "status \(ending.exitCode ?? 0)"
        throw CommandError("\(who) ended with \(how): \(directory.lastLine(of: log) ?? "no log")")
    }

    /// Ends every recorded daemon and what it has started, and removes the cluster's files.
    /// - Returns: how many daemons were still running, and how many of them had to be killed.
    @discardableResult
    func stop() throws(CommandError) -> (running: Int, killed: Int) {
        let daemons = try directory.daemons()
        _ = bp_command_raise_descriptor_limit(UInt64(daemons.count + 256))
        // What restored programs are running there dies with its slave; a slave that is killed
        // cannot see to that, so its descendants are looked up before.
        var remaining = daemons.map(\.identity)
        let running = remaining.count { $0.isRunning }
        signal(remaining, SIGTERM)
        remaining = waitForEnd(of: remaining, nanoseconds: Self.graceNanoseconds)
        let killed = remaining.count
        if killed > 0 {
            let orphans = ProcessIdentity.descendants(of: Set(remaining.map(\.pid)))
            signal(remaining + orphans, SIGKILL)
            let left = waitForEnd(of: remaining + orphans, nanoseconds: Self.graceNanoseconds)
            if let first = left.first {
                throw CommandError("process \(first.pid) does not end, not even by SIGKILL")
            }
        }
        while LocalProgram.reap(-1, waits: false) != nil {}
        directory.remove()
        return (running, killed)
    }

    private func signal(_ processes: [ProcessIdentity], _ signal: Int32) {
        for process in processes {
            guard let descriptor = process.open() else { continue }
            _ = bp_command_pidfd_signal(descriptor.number, signal)
        }
    }

    /// The processes that still run after that time.
    private func waitForEnd(
        of processes: [ProcessIdentity], nanoseconds: UInt64
    ) -> [ProcessIdentity] {
        let end = Stopwatch.nanoseconds() + nanoseconds
        var remaining = processes
        while true {
            // Some may be our own children: they end for good when they are reaped.
            while LocalProgram.reap(-1, waits: false) != nil {}
            remaining = remaining.filter(\.isRunning)
            let now = Stopwatch.nanoseconds()
            guard let first = remaining.first, now < end else { return remaining }
            guard let descriptor = first.open() else { continue }
            var entries = [Poll.Entry(descriptor.number, Poll.readable)]
            let left = Int32(clamping: (end - now) / 1_000_000)
            try? Poll.wait(&entries, timeoutMilliseconds: min(200, max(1, left)))
        }
    }
}
