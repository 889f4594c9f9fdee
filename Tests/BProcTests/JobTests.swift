import BProc
import CBProc
import CLocalProtocol
import Foundation
import Testing

@Suite struct JobTests {
    /// A launch with one failure, one exit and one death of a node, in awkward pieces.
    @Test func eventsComeInOrder() async {
        await #expect(processExitsWith: .success) {
            try Scenario.run({ connection in
                try connection.welcome()
                let message = try connection.receive()
                guard message.kind == BPROC_LOCAL_LAUNCH.rawValue, message.descriptor >= 0 else {
                    return
                }
                close(message.descriptor)
                let launch = read(bproc_local_launch.self, from: message.body)
                guard launch.rank_count == 3, launch.io_count == -1 else { return }
                let nodes = message.body.dropFirst(MemoryLayout<bproc_local_launch>.size).prefix(12)
                guard Array(nodes) == raw(Int32(4)) + raw(Int32(5)) + raw(Int32(5)) else { return }
                var bytes: [UInt8] = []
                func add(_ kind: bproc_local_kind, _ body: [UInt8]) {
                    var header = bproc_local_header()
                    header.magic = BPROC_LOCAL_MAGIC
                    header.version = UInt16(BPROC_LOCAL_VERSION)
                    header.kind = UInt16(kind.rawValue)
                    header.body_bytes = UInt32(body.count)
                    bytes += raw(header) + body
                }
                add(BPROC_LOCAL_OUTPUT, Scenario.output(rank: 0, stream: 1, "early"))
                add(
                    BPROC_LOCAL_FAILURE,
                    Scenario.failure(
                        rank: 1, node: 5, stage: BPROC_LOCAL_STAGE_RECEIVE, error: ETIMEDOUT,
                        "chunk 3 \u{1b}[2J did not come"))
                add(BPROC_LOCAL_LAUNCHED, Scenario.launched([700, -ETIMEDOUT, 702]))
                add(BPROC_LOCAL_OUTPUT, Scenario.output(rank: 0, stream: 1, ""))
                add(
                    BPROC_LOCAL_EXIT,
                    Scenario.exit(rank: 0, process: 700, status: 7 << 8)
                        + Scenario.exit(rank: 2, process: 702, status: 9, cause: 1))
                add(BPROC_LOCAL_OUTPUT, Scenario.output(rank: 0, stream: 2, ""))
                try connection.send(raw: bytes, pieceByteCount: 11)
                connection.waitForEnd()
            }) {
                try Scenario.withImage { image in
                    let job = try Scenario.launch(image: image, nodes: [4, 5, 5])
                    defer { bproc_job_close(job) }
                    try #require(bproc_job_wait_started(job) == 0)
                    let pids = UnsafeBufferPointer(start: bproc_job_pids(job), count: 3)
                    try #require(Array(pids) == [700, -ETIMEDOUT, 702])
                    var failure = bproc_job_event()
                    try #require(bproc_job_failure(job, 1, &failure) == 0)
                    try #require(String(cString: failure.text) == "chunk 3 ?[2J did not come")
                    try #require(bproc_job_failure(job, 0, &failure) == -1 && errno == ENOENT)

                    var event = try Scenario.next(job)
                    try #require(
                        Scenario.kind(event) == BPROC_EVENT_OUTPUT && event.byte_count == 5)
                    event = try Scenario.next(job)
                    try #require(Scenario.kind(event) == BPROC_EVENT_FAILURE && event.node == 5)
                    try #require(event.stage == Int32(BPROC_STAGE_RECEIVE.rawValue))
                    event = try Scenario.next(job)
                    try #require(Scenario.kind(event) == BPROC_EVENT_STARTED)
                    try #require(event.placed_count == 2 && event.fan_out == 8)
                    event = try Scenario.next(job)
                    try #require(
                        Scenario.kind(event) == BPROC_EVENT_OUTPUT && event.byte_count == 0)
                    event = try Scenario.next(job)
                    try #require(Scenario.kind(event) == BPROC_EVENT_EXIT && event.status == 7 << 8)
                    event = try Scenario.next(job)
                    try #require(Scenario.kind(event) == BPROC_EVENT_EXIT && event.node_died == 1)
                    event = try Scenario.next(job)
                    try #require(Scenario.kind(event) == BPROC_EVENT_OUTPUT && event.stream == 2)
                    for _ in 0..<2 {
                        event = try Scenario.next(job)
                        try #require(Scenario.kind(event) == BPROC_EVENT_END && event.error == 0)
                    }
                }
            }
        }
    }

    /// What a daemon may not say of a job, and its death at each step.
    @Test func badMessagesEndTheJob() async {
        await #expect(processExitsWith: .success) {
            let started = Scenario.launched([700, 701])
            let scripts: [([(bproc_local_kind, [UInt8])], Int32)] = [
                ([], ECONNRESET),
                ([(BPROC_LOCAL_LAUNCHED, started)], ECONNRESET),
                ([(BPROC_LOCAL_LAUNCHED, Scenario.launched([700]))], EPROTO),
                ([(BPROC_LOCAL_LAUNCHED, Scenario.launched([700], rankCount: 2))], EPROTO),
                ([(BPROC_LOCAL_LAUNCHED, Array(started.prefix(5)))], EPROTO),
                ([(BPROC_LOCAL_LAUNCHED, started), (BPROC_LOCAL_LAUNCHED, started)], EPROTO),
                (
                    [
                        (
                            BPROC_LOCAL_FAILURE,
                            Scenario.failure(
                                rank: 2, node: 1, stage: BPROC_LOCAL_STAGE_PLAN, error: 1, "")
                        )
                    ], EPROTO
                ),
                (
                    [
                        (BPROC_LOCAL_LAUNCHED, started),
                        (BPROC_LOCAL_EXIT, Scenario.exit(rank: 9, process: 1, status: 0)),
                    ], EPROTO
                ),
                ([(BPROC_LOCAL_EXIT, [1, 2, 3])], EPROTO),
                ([(BPROC_LOCAL_OUTPUT, Scenario.output(rank: 0, stream: 3, "x"))], EPROTO),
                ([(BPROC_LOCAL_OUTPUT, Scenario.output(rank: 5, stream: 1, "x"))], EPROTO),
                ([(BPROC_LOCAL_OUTPUT, [0, 0])], EPROTO),
                ([(BPROC_LOCAL_CAPTURED, [UInt8](repeating: 0, count: 200))], EPROTO),
                ([(BPROC_LOCAL_REFUSED, Scenario.refused(EPERM, "no launches today"))], EPERM),
            ]
            for (messages, error) in scripts {
                try Scenario.run({ connection in
                    try connection.welcome()
                    close(try connection.receive().descriptor)
                    for (kind, body) in messages { try connection.send(kind, body) }
                }) {
                    try Scenario.withImage { image in
                        let job = try Scenario.launch(image: image, nodes: [0, 1])
                        defer { bproc_job_close(job) }
                        var event = try Scenario.next(job)
                        while Scenario.kind(event) != BPROC_EVENT_END {
                            event = try Scenario.next(job)
                        }
                        try #require(event.error == error)
                        try #require(String(cString: event.text) != "")
                    }
                }
            }
        }
    }

    /// The daemon is told that the ranks outlive the job when the caller has their numbers, even if
    /// it lets go of the job at once; and of a job that ends with its caller it is not.
    @Test func ranksAreKeptOnceTheyAreKnown() async {
        await #expect(processExitsWith: .success) {
            for endsWithCaller in [false, true] {
                try Scenario.run({ connection in
                    try connection.welcome()
                    close(try connection.receive().descriptor)
                    try connection.send(BPROC_LOCAL_LAUNCHED, Scenario.launched([700]))
                    let said = try? connection.receive().kind
                    let wanted = endsWithCaller ? nil : BPROC_LOCAL_KEEP.rawValue
                    if said != wanted { Foundation.exit(3) }
                }) {
                    try Scenario.withImage { image in
                        let job = try Scenario.launch(
                            image: image, nodes: [0], endsWithCaller: endsWithCaller)
                        try #require(bproc_job_wait_started(job) == 0)
                        bproc_job_close(job)
                    }
                }
            }
        }
    }

    /// Input stops at the window, and goes on with credit; output credit and signals arrive.
    @Test func inputWaitsForCredit() async {
        await #expect(processExitsWith: .success) {
            try Scenario.run({ connection in
                try connection.welcome()
                close(try connection.receive().descriptor)
                try connection.send(BPROC_LOCAL_LAUNCHED, Scenario.launched([700]))
                var received = 0
                while received < 600_000 {
                    let message = try connection.receive()
                    guard message.kind == BPROC_LOCAL_INPUT.rawValue else { return }
                    received += message.body.count - MemoryLayout<bproc_local_stream>.size
                    if received == Int(BPROC_LOCAL_INPUT_WINDOW) || received == 600_000 {
                        // Nothing more may come now: the credit is spent.
                        var credit = bproc_local_credit()
                        credit.rank = BPROC_LOCAL_ALL_RANKS
                        credit.byte_count = 1 << 62
                        try connection.send(BPROC_LOCAL_INPUT_CREDIT, raw(credit))
                    } else if received > Int(BPROC_LOCAL_INPUT_WINDOW) {
                        var credit = bproc_local_credit()
                        credit.byte_count = UInt64(message.body.count)
                        try connection.send(BPROC_LOCAL_INPUT_CREDIT, raw(credit))
                    }
                }
                var message = try connection.receive()
                guard message.kind == BPROC_LOCAL_INPUT.rawValue, message.body.count == 8 else {
                    return
                }
                message = try connection.receive()
                let credit = read(bproc_local_credit.self, from: message.body)
                guard message.kind == BPROC_LOCAL_OUTPUT_CREDIT.rawValue, credit.byte_count == 99
                else { return }
                message = try connection.receive()
                let signal = read(bproc_local_signal.self, from: message.body)
                guard message.kind == BPROC_LOCAL_SIGNAL.rawValue, signal.signal == SIGUSR1,
                    signal.rank == 0
                else { return }
                try connection.send(
                    BPROC_LOCAL_EXIT, Scenario.exit(rank: 0, process: 700, status: 0, cause: 1))
            }) {
                try Scenario.withImage { image in
                    let job = try Scenario.launch(image: image, nodes: [0])
                    defer { bproc_job_close(job) }
                    let input = [UInt8](repeating: 1, count: 600_000)
                    var written = 0
                    var waits = 0
                    while written < input.count {
                        let count = input[written...].withUnsafeBytes {
                            bproc_job_write(job, -1, $0.baseAddress, $0.count)
                        }
                        if count > 0 {
                            written += count
                            continue
                        }
                        try #require(errno == EAGAIN)
                        waits += 1
                        let event = try Scenario.next(job)
                        try #require(Scenario.kind(event) != BPROC_EVENT_END)
                    }
                    try #require(waits > 0)
                    try #require(bproc_job_close_input(job, -1) == 0)
                    try #require(bproc_job_write(job, -1, input, 1) == -1 && errno == EPIPE)
                    try #require(bproc_job_consumed(job, 0, 1, 99) == 0)
                    try #require(bproc_job_consumed(job, 0, 0, 1) == -1 && errno == EINVAL)
                    try #require(bproc_job_signal(job, 1, SIGUSR1) == -1 && errno == EINVAL)
                    try #require(bproc_job_signal(job, 0, SIGUSR1) == 0)
                    var event = try Scenario.next(job)
                    while Scenario.kind(event) != BPROC_EVENT_END { event = try Scenario.next(job) }
                    try #require(event.error == 0)
                }
            }
        }
    }

    @Test func requestsAreChecked() async {
        await #expect(processExitsWith: .success) {
            setenv("BPROC_SOCKET", "/nowhere", 1)
            var io = [bproc_io_t](repeating: bproc_io_t(), count: 17)
            var nodes: [Int32] = [0]
            var pids: [Int32] = [0]
            func start(_ count: Int32, _ iolen: Int32) -> Int32 {
                errno = 0
                return bproc_vexecmove_io(count, &nodes, &pids, &io, iolen, "/bin/true", nil, nil)
            }
            try #require(start(0, 0) == -1 && errno == EINVAL)
            try #require(start(-5, 0) == -1 && errno == EINVAL)
            try #require(start(1, 17) == -1 && errno == EINVAL)
            try #require(start(1, -2) == -1 && errno == EINVAL)
            try #require(start(1, 0) == -1 && errno == EFAULT)
            try Scenario.withImage { image in
                var request = bproc_job_request()
                request.struct_bytes = MemoryLayout<bproc_job_request>.size
                request.image = image
                var job: OpaquePointer?
                func launch() -> Int32 {
                    nodes.withUnsafeBufferPointer { nodes in
                        io.withUnsafeBufferPointer { io in
                            "x".withCString { command in
                                request.nodes = nodes.baseAddress
                                request.io = io.baseAddress
                                request.command = command
                                return bproc_job_launch(&request, &job)
                            }
                        }
                    }
                }
                request.rank_count = 0
                try #require(launch() == -1 && errno == EINVAL)
                request.rank_count = 1
                request.io_count = 1
                io[0].type = Int16(BPROC_IO_MEMFILE)
                try #require(launch() == -1 && errno == EPERM)
                io[0].type = 9
                try #require(launch() == -1 && errno == EINVAL)
                io[0].type = 0
                _ = withUnsafeMutableBytes(of: &io[0].d.file.name) {
                    $0.initializeMemory(as: UInt8.self, repeating: 65)
                }
                try #require(launch() == -1 && errno == EINVAL)
                request.io_count = 0
                request.flags = 1 << 20
                try #require(launch() == -1 && errno == EINVAL)
                request.flags = 0
                try #require(launch() == -1 && errno == EBUSY)
                request.image = 1000
                try #require(launch() == -1 && errno == EBADF)
            }
        }
    }
}
