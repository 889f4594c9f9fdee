import BProc
import CommandSupport
import Glibc
import System

/// A job with this process's standard streams before it: one poll loop until every rank is over.
struct ShellSession: ~Copyable {
    struct Settings {
        var forwardsInput = true
        var wholeLines = false
        var prefixesLines = false
        /// All output of a rank, then all of the next.
        var inTurns = false
        /// A line before the output of each rank.
        var dividesRanks = false
        /// Bytes of input that are read at once.
        var inputPieceByteCount = 64 << 10
        var lineByteLimit = LineAssembler.lineByteLimit
        /// Exit statuses as the original had them.
        var isClassic = false
    }

    /// What `--trace` will show.
    private(set) var trace: LaunchTrace?

    /// While this much waits to be written nothing more is read, and no credit is given.
    private static let pendingByteLimit = 1 << 20
    private static let backgroundMilliseconds: Int32 = 200
    private static let killWindowNanoseconds: UInt64 = 1_000_000_000

    private var job: Job
    private let settings: Settings
    private var output = OutputSink(descriptor: STDOUT_FILENO)
    private var errors = OutputSink(descriptor: STDERR_FILENO)
    private var lines: LineAssembler
    private var turns: OutputTurns?
    /// By rank, which of its streams are still open.
    private var openStreamCounts: [Int]
    /// The rank whose divider was the last.
    private var dividedRank: Int?
    private var credits: [LineAssembler.Stream: Int] = [:]
    private let nodes: [Int32]
    private var started = false
    private var ended = false
    private var inputOpen: Bool
    /// A terminal that another job may read in the meantime is read without waiting, through an
    /// open file of our own: the shell has the other.
    private let inputNumber: Int32
    private var unsentInput: ArraySlice<UInt8> = []
    private var status: Int32 = 0
    private var lastInterrupt: UInt64?
    private var killed = false
    private var forwarded: Set<Int32> = []

    init(job: consuming Job, settings: Settings, trace: LaunchTrace? = nil) {
        self.trace = trace
        nodes = job.nodes
        lines = LineAssembler(lineByteLimit: settings.lineByteLimit)
        turns = settings.inTurns ? OutputTurns(rankCount: job.rankCount) : nil
        openStreamCounts = Array(repeating: 2, count: job.rankCount)
        self.job = job
        self.settings = settings
        inputOpen = settings.forwardsInput
        inputNumber = inputOpen ? Self.openInput() : STDIN_FILENO
    }

    private static func openInput() -> Int32 {
        guard StandardOutput.isTerminal(STDIN_FILENO), let name = unsafe ttyname(STDIN_FILENO)
        else { return STDIN_FILENO }
        let descriptor = unsafe open(name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
        return descriptor >= 0 ? descriptor : STDIN_FILENO
    }

    /// The ranks are children, which nobody waits for: the job tells how they end. And in the
    /// background the terminal is not read, instead of stopping for it.
    static func setSignals() {
        for number in [SIGCHLD, SIGTTIN] { _ = signal(number, SIG_IGN) }
    }

    /// The exit status of bpsh.
    mutating func run() throws(BProcError) -> Int32 {
        do throws(SystemCallError) {
            let signals = try SignalDescriptor([SIGINT, SIGTERM, SIGQUIT, SIGHUP])
            while !ended || !output.isEmpty || !errors.isEmpty {
                if let status = try step(signals) { return status }
            }
        } catch {
            throw BProcError(errorNumber: error.errorNumber, sentence: error.description)
        }
        return status
    }

    /// One round of poll. An answer ends the session at once.
    private mutating func step(_ signals: borrowing SignalDescriptor) throws(SystemCallError)
        -> Int32?
    {
        let congested =
            output.pendingByteCount + errors.pendingByteCount > Self.pendingByteLimit
        var entries = [Poll.Entry(signals.number, Poll.readable)]
        func add(_ descriptor: Int32, _ events: Int16, if wanted: Bool) {
            // poll ignores negative descriptors, so the places stay fixed.
            entries.append(Poll.Entry(wanted && events != 0 ? descriptor : -1, events))
        }
        let jobEvents = congested ? job.pollEvents & ~Poll.readable : job.pollEvents
        add(job.descriptor, jobEvents, if: !ended)
        add(STDOUT_FILENO, Poll.writable, if: !output.isEmpty)
        add(STDERR_FILENO, Poll.writable, if: !errors.isEmpty)
        let takesInput = inputOpen && started && wantsInput
        let isInBackground = takesInput && terminalIsOthers
        add(inputNumber, Poll.readable, if: takesInput && !isInBackground)
        // Nothing tells a running job that it has been brought to the foreground.
        try Poll.wait(
            &entries, timeoutMilliseconds: isInBackground ? Self.backgroundMilliseconds : nil)

        while let signal = try signals.nextArrival() {
            if let status = handle(signal) { return status }
        }
        if entries[2].ready != 0 { try output.writePiece() }
        if entries[3].ready != 0 { try errors.writePiece() }
        if entries[4].ready != 0 { readInput() }
        if !congested && !ended {
            do throws(BProcError) { try drainEvents() } catch { end(error) }
        }
        sendInput()
        giveCredit()
        return nil
    }

    // MARK: Events

    private mutating func drainEvents() throws(BProcError) {
        while !ended, let event = try job.next() {
            switch event {
            case .started:
                started = true
                trace?.hasStarted(
                    times: job.nodes.indices.map { job.stageTimes(of: $0) },
                    now: Stopwatch.nanoseconds())
                reportOtherPids()
            case .progress, .inputCredit: break
            case .failure(let rank, let failure):
                trace?.hasFailed(rank, reason: failure.description)
                report(failure.description)
                raiseToNotStarted()
                show(turns?.end(rank, wasStarted: false) ?? [])
            case .exit(let exit): note(exit)
            case .output(let rank, _, let stream, let bytes):
                take(bytes, rank: rank, stream: stream)
            case .end(let error): end(error)
            }
            if output.pendingByteCount + errors.pendingByteCount > Self.pendingByteLimit { return }
        }
    }

    /// Whoever goes by a rank's number on its node would meet another process.
    private mutating func reportOtherPids() {
        guard let other = job.otherPids else { return }
        report(
            """
            \(other.count) of \(job.rankCount) ranks run under other pids on their nodes, where \
            theirs are taken; the first is \(job.processNumbers[other.first]) on node \
            \(nodes[other.first])
            """)
    }

    private mutating func end(_ error: BProcError?) {
        guard !ended else { return }
        show(turns?.finish() ?? [])
        for stream in lines.openStreams { finish(stream) }
        if let error {
            report(error.description)
            raise(to: ExitStatus.notStarted)
        }
        ended = true
    }

    private mutating func raiseToNotStarted() {
        if !settings.isClassic { raise(to: ExitStatus.notStarted) }
    }

    private mutating func note(_ exit: JobEvent.RankExit) {
        trace?.hasEnded(
            exit.rank,
            status: exit.nodeLeft
                ? "node left" : exit.nodeDied ? "node died" : exit.status.sentence,
            now: Stopwatch.nanoseconds())
        if exit.nodeDied {
            report(
                exit.nodeLeft
                    ? "node \(exit.node): the node has gone to another master with the process"
                    : "node \(exit.node): the node died with the process on it")
            show(turns?.end(exit.rank, wasStarted: true) ?? [])
        }
        if settings.isClassic, exit.status.signal != nil {
            report("Child process on node \(exit.node) exited abnormally.")
            raise(to: ExitStatus.notStarted)
            return
        }
        if exit.nodeDied {
            // Said already.
        } else if let signal = exit.status.signal, !killed, !forwarded.contains(signal),
            signal != SIGPIPE
        {
            report("node \(exit.node): killed by signal \(signal)")
        }
        raise(to: exit.status.shellStatus)
    }

    private mutating func raise(to status: Int32) { self.status = max(self.status, status) }

    /// A line of our own, in order with what the ranks write to standard error.
    private mutating func report(_ text: String) { errors.append(Array("bpsh: \(text)\n".utf8)) }

    // MARK: Output

    private mutating func take(
        _ bytes: [UInt8], rank: Int, stream: JobEvent.OutputStream
    ) {
        let place = LineAssembler.Stream(rank: rank, descriptor: stream.rawValue)
        let item: OutputTurns.Item = bytes.isEmpty ? .end(place) : .bytes(bytes, place)
        if turns == nil {
            show(item)
        } else {
            show(turns!.add(item, of: rank))
        }
        guard bytes.isEmpty else { return }
        openStreamCounts[rank] -= 1
        if openStreamCounts[rank] == 0 { show(turns?.end(rank, wasStarted: true) ?? []) }
    }

    private mutating func show(_ items: [OutputTurns.Item]) {
        for item in items { show(item) }
    }

    private mutating func show(_ item: OutputTurns.Item) {
        switch item {
        case .bytes(let bytes, let place):
            divide(before: place.rank)
            show(bytes, from: place)
        case .end(let place): finish(place)
        case .over(let rank): divide(before: rank)
        }
    }

    /// The node, a tab, and a line.
    private mutating func divide(before rank: Int) {
        guard settings.dividesRanks, dividedRank != rank else { return }
        dividedRank = rank
        output.append(Array("\(nodes[rank])\t\(String(repeating: "-", count: 69))\n".utf8))
    }

    private mutating func show(_ bytes: [UInt8], from place: LineAssembler.Stream) {
        credits[place, default: 0] += bytes.count
        let text =
            settings.wholeLines
            ? lines.add(bytes, to: place, prefix: prefix(of: nodes[place.rank])) : bytes
        append(text, to: place.descriptor)
    }

    private mutating func finish(_ stream: LineAssembler.Stream) {
        append(lines.end(stream, prefix: prefix(of: nodes[stream.rank])), to: stream.descriptor)
    }

    private mutating func append(_ bytes: [UInt8], to descriptor: Int32) {
        if descriptor == STDOUT_FILENO { output.append(bytes) } else { errors.append(bytes) }
    }

    /// `%3d: `
    private func prefix(of node: Int32) -> [UInt8] {
        guard settings.prefixesLines else { return [] }
        return Array((Column.right("\(node)", 3) + ": ").utf8)
    }

    private mutating func giveCredit() {
        guard output.pendingByteCount + errors.pendingByteCount <= Self.pendingByteLimit else {
            return
        }
        for (place, byteCount) in credits {
            let stream = JobEvent.OutputStream(rawValue: place.descriptor) ?? .standardOutput
            // A job that has ended needs no credit; a lost one reports itself as an event.
            try? job.consumed(byteCount, from: stream, of: place.rank)
        }
        credits.removeAll(keepingCapacity: true)
    }

    // MARK: Input

    /// Standard input is the session's terminal, and another process group has it at present.
    private var terminalIsOthers: Bool {
        let foreground = tcgetpgrp(STDIN_FILENO)
        return foreground >= 0 && foreground != getpgrp()
    }

    private var wantsInput: Bool { unsentInput.isEmpty && job.inputRoom > 0 }

    private mutating func readInput() {
        var piece = [UInt8](
            repeating: 0, count: min(settings.inputPieceByteCount, max(1, job.inputRoom)))
        let count = unsafe piece.withUnsafeMutableBytes { piece in
            unsafe read(inputNumber, piece.baseAddress, piece.count)
        }
        if count > 0 {
            unsentInput = piece[..<count]
        } else if count < 0, errno == EINTR || errno == EAGAIN || terminalIsOthers {
            // Another job has read it, or has the terminal by now.
        } else {
            inputOpen = false
            try? job.closeInput()
        }
    }

    private mutating func sendInput() {
        while !unsentInput.isEmpty {
            do throws(BProcError) {
                let waiting = unsentInput
                unsentInput = waiting.dropFirst(try job.write(waiting.span))
            } catch {
                // The rest follows with the next credit. Anything else ends the job by an event.
                if error.code != .wouldBlock { unsentInput = [] }
                return
            }
        }
    }

    // MARK: Signals

    /// Sends it to all ranks. An answer ends the session at once.
    private mutating func handle(_ arrival: SignalDescriptor.Arrival) -> Int32? {
        let signal = arrival.number
        let now = Stopwatch.nanoseconds()
        // Nothing runs yet that could be told: letting go of the job ends it.
        guard started else { return ExitStatus.signalBase + signal }
        if signal == SIGINT {
            if killed { return ExitStatus.signalBase + signal }
            if let last = lastInterrupt, now - last < Self.killWindowNanoseconds {
                killed = true
                report("killing all ranks; once more to leave them")
                try? job.signal(SIGKILL)
                return nil
            }
            lastInterrupt = now
        } else if forwarded.contains(signal) {
            // Asked twice to end: letting go of the job ends it, whoever does not answer.
            return ExitStatus.signalBase + signal
        }
        forwarded.insert(signal)
        // What the terminal sends reaches the ranks through their ghosts, which are in its group.
        if !(arrival.isFromTerminal && job.hasChildren) { try? job.signal(signal) }
        return nil
    }
}
