import CGhosts
import CLocalProtocol
import CSystem
import Glibc
import GhostCore
import LocalProtocol
import System
import Wire

/// The process that stands between the ghosts of one call and their job: it carries out what
/// `GhostGroup` decides, and lives until the last ghost has ended.
struct GhostServer: ~Copyable {
    let memory: GhostMemory
    let pids: [Int32]
    /// The one ghost is the caller itself, which has moved.
    private let isOwn: Bool
    private let ghostOfPid: [Int32: Int]
    var group: GhostGroup
    var effects: [GhostGroup.Effect] = []

    /// nil: it has closed its end. The numbers are -1 then.
    private var library: OwnedDescriptor?
    private var libraryNumber: Int32
    private var received: [UInt8] = []
    private var attached: OwnedDescriptor?
    /// Readable when the caller has ended.
    private let caller: OwnedDescriptor
    private var isCallerGone = false
    private let news: OwnedDescriptor
    private var hasMoreNews = true

    private var job: OwnedDescriptor?
    private var jobNumber: Int32 = -1
    private var isAdopted = false
    /// The ghosts are the caller's children; until then they end with the conversation.
    var isConfirmed = false
    private var inbox = JobInbox()
    private var outgoing: [UInt8] = []
    /// Of one ghost at a time; the others wait.
    var homecoming: Homecoming?
    var arrivals: [RankArrival] = []
    var output = OutputQueue()
    private var isForwarding = false
    /// The ranks have been told that nobody reads what they write.
    private var hasClosedOutput = false
    private var space = [UInt8](repeating: 0, count: 64 << 10)

    init(
        memory: GhostMemory, isOwn: Bool, library: consuming OwnedDescriptor,
        caller: consuming OwnedDescriptor, news: consuming OwnedDescriptor
    ) {
        libraryNumber = library.number
        self.library = consume library
        self.caller = caller
        self.news = news
        self.memory = memory
        pids = memory.pids
        self.isOwn = isOwn
        ghostOfPid = Dictionary(uniqueKeysWithValues: zip(memory.pids, memory.pids.indices))
        group = GhostGroup(count: memory.pids.count)
        for ghost in pids.indices where memory.hasEnded(ghost) {
            group.ghostDied(signal: SIGKILL, ghost: ghost, effects: &effects)
        }
    }

    /// The process at the other end of the conversation; readable when it has ended.
    static func caller(of library: Int32) throws(SystemCallError) -> OwnedDescriptor {
        var credentials = bp_credentials()
        try check("ask who calls", unsafe bp_peer_credentials(library, &credentials))
        return OwnedDescriptor(
            adopting: Int32(try check("open the caller", bp_child_open(credentials.pid))))
    }

    mutating func serve() throws(SystemCallError) {
        while true {
            let now = Clock.monotonicNanoseconds
            group.tick(now: now, effects: &effects)
            goOnWithHomecomings()
            carryOut()
            if group.isOver && isConfirmed && (output.isEmpty || group.isClosed) { return }
            // Without a library that would adopt them the ghosts end with this process.
            if libraryNumber < 0 && !isConfirmed { return }
            try waitForEvents(now: now)
        }
    }

    // MARK: Waiting

    private mutating func waitForEvents(now: UInt64) throws(SystemCallError) {
        let jobEvents = outgoing.isEmpty ? POLLIN : POLLIN | POLLOUT
        var entries = [
            pollfd(fd: news.number, events: Int16(POLLIN), revents: 0),
            pollfd(fd: libraryNumber, events: Int16(POLLIN), revents: 0),
            pollfd(fd: jobNumber, events: Int16(jobEvents), revents: 0),
            pollfd(fd: isCallerGone ? -1 : caller.number, events: Int16(POLLIN), revents: 0),
            pollfd(fd: output.isEmpty ? -1 : STDOUT_FILENO, events: Int16(POLLOUT), revents: 0),
            pollfd(fd: homecoming?.wordNumber ?? -1, events: Int16(POLLIN), revents: 0),
        ]
        let result = unsafe poll(&entries, nfds_t(entries.count), timeout(now: now))
        guard result >= 0 || errno == EINTR else {
            throw SystemCallError("poll", errorNumber: errno)
        }
        if entries[0].revents != 0 || hasMoreNews { takeNews() }
        if entries[1].revents != 0 { hearLibrary() }
        if entries[2].revents != 0 { hearJob() }
        if entries[3].revents != 0 {
            isCallerGone = true
            // Its last word may still be there.
            if libraryNumber >= 0 { hearLibrary() }
            group.callerIsGone(
                areClaimed: isConfirmed, now: Clock.monotonicNanoseconds, effects: &effects)
        }
        if entries[4].revents != 0 { writeOutput() }
        if entries[5].revents != 0 { hearHomecoming() }
    }

    /// Milliseconds for poll, -1: for ever.
    private func timeout(now: UInt64) -> Int32 {
        if hasMoreNews { return 0 }
        guard let deadline = group.deadlineNanoseconds else { return -1 }
        return Int32(clamping: (deadline - min(now, deadline) + 999_999) / 1_000_000)
    }

    // MARK: Ghosts

    private mutating func takeNews() {
        bp_ghost_drain_news(news.number)
        var event = bp_ghost_news()
        // A storm of signals for some must not keep the others' job waiting.
        for _ in 0..<(pids.count + 64) {
            guard unsafe bp_ghost_next(&event) == 1 else {
                hasMoreNews = false
                return
            }
            guard let ghost = ghostOfPid[event.pid] else { continue }
            if event.is_stopped == 0 {
                group.ghostDied(signal: event.signal, ghost: ghost, effects: &effects)
            } else if event.is_group_stop != 0 {
                group.ghostStopped(signal: event.signal, ghost: ghost, effects: &effects)
            } else {
                ghostGot(event, ghost: ghost)
            }
            carryOut()
        }
        hasMoreNews = true
    }

    private mutating func ghostGot(_ event: bp_ghost_news, ghost: Int) {
        let origin: GhostGroup.Origin
        switch bp_ghost_origin(rawValue: UInt32(event.origin)) {
        case BP_GHOST_ORIGIN_CALL:
            group.ghostIsReadyToStop(ghost: ghost, effects: &effects)
            return
        case BP_GHOST_ORIGIN_HOME where isExpected(ghost):
            ghostHasCome(ghost)
            return
        case BP_GHOST_ORIGIN_TERMINAL: origin = .terminal
        case BP_GHOST_ORIGIN_SERVER: origin = .server
        default: origin = .other
        }
        if isOwn, event.signal == SIGCHLD {
            // Of children that it has left behind: the one that has moved has none of them.
            _ = bp_ghost_resume(event.pid, 0)
            return
        }
        group.ghostGot(signal: event.signal, ghost: ghost, from: origin, effects: &effects)
    }

    mutating func carryOut() {
        guard !effects.isEmpty else { return }
        for effect in effects {
            switch effect {
            case .resume(let ghost, let signal): _ = bp_ghost_resume(pids[ghost], signal)
            case .listen(let ghost): _ = bp_ghost_listen(pids[ghost])
            case .end(let ghost, let status, let isStopped):
                memory.end(ghost, status: status, isStopped: isStopped)
            case .stop(let ghost): _ = bp_ghost_call(pids[ghost])
            case .go(let ghost): _ = bp_ghost_continue(pids[ghost])
            case .forward(let rank, let signal): send(signal, to: UInt32(rank))
            case .forwardToAll(let signal): send(signal, to: UInt32(BPROC_LOCAL_ALL_RANKS))
            case .letGo(let ghost): letGo(ghost)
            case .stay(let ghost): memory.stay(ghost)
            }
        }
        effects.removeAll(keepingCapacity: true)
        flush()
    }

    // MARK: The library

    private mutating func answer(_ kind: bproc_local_kind, _ body: [UInt8]) {
        let bytes = LocalMessage.bytes(kind, body: body)
        _ = unsafe bytes.withUnsafeBytes {
            unsafe bp_capture_send(libraryNumber, $0.baseAddress!, $0.count, -1)
        }
    }

    private mutating func receive(from socket: Int32, _ descriptor: inout Int32) -> Int {
        unsafe space.withUnsafeMutableBytes {
            unsafe bp_receive_descriptor(socket, $0.baseAddress!, $0.count, &descriptor)
        }
    }

    private mutating func leaveLibrary() {
        library = nil
        libraryNumber = -1
    }

    private mutating func hearLibrary() {
        var descriptor: Int32 = -1
        let count = receive(from: libraryNumber, &descriptor)
        if descriptor >= 0 { attached = OwnedDescriptor(adopting: descriptor) }
        if count == -11 || count == -4 { return }
        guard count > 0 else {
            leaveLibrary()
            return
        }
        received += space[..<count]
        do throws(LocalProtocolError) {
            while let message = try LocalMessage.take(from: &received) { try hear(message) }
        } catch {
            leaveLibrary()
        }
    }

    private mutating func hear(_ message: LocalMessage) throws(LocalProtocolError) {
        switch message.kind {
        case BPROC_LOCAL_GHOSTS_BYTES where !isAdopted: inbox.append(message.body[...])
        case BPROC_LOCAL_GHOSTS_ADOPT where !isAdopted:
            guard let raw = message.load(bproc_local_ghosts_adopt.self) else {
                throw .tooSmall("the adoption of ghosts")
            }
            let started = message.body[MemoryLayout<bproc_local_ghosts_adopt>.size...]
            guard raw.count == UInt32(pids.count), started.count == pids.count,
                let channel = attached.take()
            else { throw .invalid("an adoption that does not fit the ghosts") }
            guard !isOwn || hasSeizedCaller() else {
                leaveLibrary()
                return
            }
            adopt(
                channel, started: started.map { $0 != 0 },
                flags: raw.flags)
            answer(
                BPROC_LOCAL_GHOSTS_READY,
                LocalMessage.bytes(of: bproc_local_ghosts_ready(error: 0)))
        case BPROC_LOCAL_GHOSTS_ADOPTED where isAdopted: isConfirmed = true
        default: throw .invalid("a message of kind \(message.header.kind) to ghosts")
        }
    }

    /// It is a ghost from now on; or it goes on by itself, without one.
    private mutating func hasSeizedCaller() -> Bool {
        var errorNumber: Int32 = 3
        do throws(SystemCallError) {
            if try memory.seize(0) { return true }
        } catch {
            errorNumber = error.errorNumber
        }
        answer(
            BPROC_LOCAL_GHOSTS_READY,
            LocalMessage.bytes(of: bproc_local_ghosts_ready(error: errorNumber)))
        return false
    }

    private mutating func adopt(
        _ channel: consuming OwnedDescriptor, started: [Bool], flags: UInt32
    ) {
        isForwarding = flags & UInt32(BPROC_LOCAL_GHOSTS_FORWARD) != 0
        if started.contains(false) { memory.drop(started.map { $0 ? 0 : 1 }) }
        if !isForwarding { bp_ghost_release_output() }
        jobNumber = channel.number
        job = consume channel
        isAdopted = true
        outgoing += LocalMessage.bytes(BPROC_LOCAL_GHOSTS_SERVED)
        group.adopt(
            started: started, isForwarding: isForwarding,
            endsWithCaller: flags & UInt32(BPROC_LOCAL_GHOSTS_END_WITH_CALLER) != 0,
            effects: &effects)
        takeJobNews()
        carryOut()
    }

    // MARK: The job

    private mutating func hearJob() {
        flush()
        guard jobNumber >= 0 else { return }
        var descriptor: Int32 = -1
        let count = receive(from: jobNumber, &descriptor)
        if descriptor >= 0 { _ = bp_close(descriptor) }
        if count == -11 || count == -4 { return }
        guard count > 0 else {
            loseJob()
            return
        }
        inbox.append(space[..<count])
        takeJobNews()
    }

    private mutating func takeJobNews() {
        do throws(LocalProtocolError) {
            while let news = try inbox.next() {
                switch news {
                case .ended(let rank, let status, let isNodeDeath):
                    group.rankEnded(
                        rank, status: status, isNodeDeath: isNodeDeath,
                        now: Clock.monotonicNanoseconds, effects: &effects)
                case .stopped(let rank, let signal, let sequence):
                    group.rankStopped(
                        rank, signal: signal, sequence: sequence, effects: &effects)
                case .outputEnded(let rank, let stream):
                    group.outputEnded(rank, stream: stream, effects: &effects)
                case .output(let rank, let stream, let bytes):
                    guard isForwarding else { break }
                    output.append(inbox.bytes[bytes], rank: rank, stream: stream)
                case .arrives(let arrival): arrivals.append(arrival)
                case .bookRequested(let request): tellOfBook(request: request)
                }
            }
        } catch {
            loseJob()
        }
    }

    private mutating func loseJob() {
        job = nil
        jobNumber = -1
        outgoing = []
        group.jobIsLost(effects: &effects)
    }

    private mutating func send(_ signal: RankSignal, to rank: UInt32) {
        outgoing += LocalMessage.bytes(
            BPROC_LOCAL_RANK_SIGNAL,
            body: LocalMessage.bytes(
                of: bproc_local_rank_signal(
                    rank: rank, signal: signal.number, reach: UInt32(signal.reach.rawValue),
                    sequence: signal.sequence)))
    }

    private mutating func tellOfBook(request: UInt32) {
        // One that is not taken is not worth another.
        guard outgoing.count < Self.unsentByteLimit else { return }
        let book = group.book
        outgoing += LocalMessage.bytes(
            BPROC_LOCAL_GHOSTS_BOOK, request: request,
            body: LocalMessage.bytes(
                of: bproc_local_ghosts_book(
                    living_count: UInt32(book.livingGhostCount),
                    running_count: UInt32(book.runningRankCount),
                    output_count: UInt32(book.outputRankCount),
                    called_count: UInt32(book.calledGhostCount),
                    arriving_count: UInt32(arrivals.count + (homecoming == nil ? 0 : 1)),
                    reserved: 0,
                    output_bytes: UInt64(output.waitingByteCount),
                    unsent_bytes: UInt64(outgoing.count))))
        flush()
    }

    private static let unsentByteLimit = 1 << 20

    private mutating func writeOutput() {
        var credits: [UInt8] = []
        output.write { piece in
            credits += LocalMessage.bytes(
                BPROC_LOCAL_OUTPUT_CREDIT,
                body: LocalMessage.bytes(
                    of: bproc_local_credit(
                        rank: piece.rank, stream: piece.stream,
                        byte_count: UInt64(piece.byteCount))))
        }
        guard jobNumber >= 0 else { return }
        outgoing += credits
        if output.hasNoReader, !hasClosedOutput {
            hasClosedOutput = true
            outgoing += LocalMessage.bytes(
                BPROC_LOCAL_OUTPUT_CLOSED,
                body: LocalMessage.bytes(
                    of: bproc_local_stream(rank: UInt32(BPROC_LOCAL_ALL_RANKS), stream: 0)))
        }
        flush()
    }

    private mutating func flush() {
        guard jobNumber >= 0, !outgoing.isEmpty else { return }
        let count = unsafe outgoing.withUnsafeBytes {
            unsafe Glibc.send(
                jobNumber, $0.baseAddress!, $0.count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
        }
        if count > 0 { outgoing.removeFirst(count) }
    }
}
