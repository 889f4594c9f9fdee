import BProc
import CBProc
import CLocalProtocol
import Foundation
import Testing

/// What the tests of the library share. Each runs in a process of its own (an exit test), since the
/// library reads the environment and the tests count descriptors.
enum Scenario {
    /// Runs a body against a daemon's script, and fails if a descriptor is left over.
    static func run(_ script: @escaping ScriptedDaemon.Script, _ body: () throws -> Void) throws {
        signal(SIGPIPE, SIG_IGN)
        let daemon = try ScriptedDaemon(script)
        let before = openDescriptors()
        try body()
        // The daemon's side closes in threads of its own, a moment later.
        let deadline = Date(timeIntervalSinceNow: 20)
        while !openDescriptors().isSubset(of: before) && Date() < deadline { usleep(2000) }
        let left = openDescriptors()
        guard left.isSubset(of: before) else {
            throw LibraryFailure(
                error: 0, reason: "descriptors before: \(before.sorted()), after: \(left.sorted())")
        }
        withExtendedLifetime(daemon) {}
    }

    /// A node of the table that a script answers with.
    static func node(
        _ number: Int32, _ state: String, lastOctet: UInt8? = nil, mode: UInt32 = 0o111,
        user: UInt32 = 5, group: UInt32 = 6
    ) -> [UInt8] {
        var node = bproc_local_node()
        node.node = number
        fill(&node.state, state)
        node.mode = mode
        node.user = user
        node.group = group
        if let lastOctet {
            node.address_family = UInt16(AF_INET)
            node.port = 2223
            fill(&node.address, "")
            withUnsafeMutableBytes(of: &node.address) {
                $0.copyBytes(from: [127, 1, 2, lastOctet])
            }
        }
        return raw(node)
    }

    static func launched(_ pids: [Int32], rankCount: UInt32? = nil) -> [UInt8] {
        var launched = bproc_local_launched()
        launched.job = 7
        launched.rank_count = rankCount ?? UInt32(pids.count)
        launched.placed_count = UInt32(pids.count { $0 > 0 })
        launched.placed_nanoseconds = 42
        launched.fan_out = 8
        launched.chunk_byte_count = 1 << 19
        return raw(launched) + pids.flatMap(raw)
    }

    static func failure(
        rank: UInt32, node: Int32, stage: bproc_local_stage, error: Int32, _ reason: String
    ) -> [UInt8] {
        var failure = bproc_local_failure()
        failure.rank = rank
        failure.node = node
        failure.stage = stage.rawValue
        failure.error = error
        fill(&failure.reason, reason)
        return raw(failure)
    }

    static func exit(rank: UInt32, process: Int32, status: Int32, cause: UInt32 = 0) -> [UInt8] {
        var record = bproc_local_exit()
        record.rank = rank
        record.process = process
        record.status = status
        record.cause = cause
        return raw(record)
    }

    static func output(rank: UInt32, stream: UInt32, _ text: String) -> [UInt8] {
        var place = bproc_local_stream()
        place.rank = rank
        place.stream = stream
        return raw(place) + Array(text.utf8)
    }

    static func refused(_ error: Int32, _ reason: String) -> [UInt8] {
        var refused = bproc_local_refused()
        refused.error = error
        fill(&refused.reason, reason)
        return raw(refused)
    }

    /// A file in memory, to be launched as an image.
    static func withImage(_ body: (Int32) throws -> Void) throws {
        var template = Array("/tmp/bproc-image-XXXXXX".utf8CString)
        let image = mkstemp(&template)
        _ = fcntl(image, F_SETFD, FD_CLOEXEC)
        unlink(template)
        defer { close(image) }
        try body(image)
    }

    /// Launches through the C interface.
    static func launch(
        image: Int32, nodes: [Int32], forwards: Bool = true, endsWithCaller: Bool = true
    ) throws -> OpaquePointer {
        var request = bproc_job_request()
        request.struct_bytes = MemoryLayout<bproc_job_request>.size
        request.image = image
        request.rank_count = Int32(nodes.count)
        request.io_count = forwards ? BPROC_JOB_FORWARD : 0
        request.flags = endsWithCaller ? BPROC_JOB_END_WITH_CALLER : 0
        var job: OpaquePointer?
        let result = nodes.withUnsafeBufferPointer { nodes in
            "/bin/true".withCString { command in
                request.nodes = nodes.baseAddress
                request.command = command
                return bproc_job_launch(&request, &job)
            }
        }
        guard result == 0, let job else { throw LibraryFailure.last() }
        return job
    }

    /// The next event, waiting for it.
    static func next(_ job: OpaquePointer) throws -> bproc_job_event {
        var event = bproc_job_event()
        while true {
            let found = bproc_job_next(job, &event)
            if found > 0 { return event }
            if found < 0 { throw LibraryFailure.last() }
            var entry = pollfd(
                fd: bproc_job_descriptor(job), events: bproc_job_poll_events(job), revents: 0)
            poll(&entry, 1, 20_000)
        }
    }

    static func kind(_ event: bproc_job_event) -> bproc_job_event_kind {
        bproc_job_event_kind(rawValue: UInt32(event.kind))
    }
}

struct LibraryFailure: Error, Equatable {
    var error: Int32
    var reason: String

    static func last() -> LibraryFailure {
        let number = errno
        return LibraryFailure(error: number, reason: String(cString: bproc_reason()))
    }
}
