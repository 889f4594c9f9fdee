import CLiburing
import CSystem
import System

/// The io_uring back end: one ring, one thread.
///
/// The memory behind `ring` and `addresses` has one owner, this value; the kernel reads an address
/// only during the submission of its entry.
@safe
struct Uring: ~Copyable {
    private let ring: UnsafeMutablePointer<io_uring>
    private let batch: UnsafeMutablePointer<UnsafeMutablePointer<io_uring_cqe>?>
    /// One socket address for each submission entry.
    private let addresses: UnsafeMutableRawPointer
    /// What was taken in the midst of queueing, for the next wait.
    private var early: [Completion] = []
    private var accepts: [Accept] = []
    private var renewals: [Accept] = []
    private let acceptsRepeatedly: Bool

    /// A listener that is being accepted on. The kernel may end a repeating accept with a connection
    /// and no error (a full completion queue does that); it is then renewed.
    private struct Accept {
        let userData: UInt64
        let descriptor: Int32
        var isCancelled = false
    }

    private static let batchCount: UInt32 = 256
    private static let addressByteCount = 32
    private static let canceled: Int32 = -125

    init(entries: UInt32) throws(SystemCallError) {
        let ring = UnsafeMutablePointer<io_uring>.allocate(capacity: 1)
        // Newer flags first: completions then run only when this thread asks for them.
        let always = UInt32(IORING_SETUP_CQSIZE) | UInt32(IORING_SETUP_CLAMP)
        // A kernel that refuses the second choice is older than 5.19: its sends end early and its
        // accepts do not repeat, so epoll serves it better.
        let choices: [UInt32] = [
            UInt32(IORING_SETUP_SINGLE_ISSUER) | UInt32(IORING_SETUP_DEFER_TASKRUN),
            UInt32(IORING_SETUP_COOP_TASKRUN),
        ]
        var result: Int32 = -1
        for flags in choices {
            unsafe ring.initialize(to: io_uring())
            var parameters = io_uring_params()
            parameters.flags = flags | always
            parameters.cq_entries = entries * 8
            result = unsafe io_uring_queue_init_params(entries, ring, &parameters)
            // EINVAL: this kernel does not know the flags.
            if result != -22 { break }
        }
        guard result >= 0 else {
            unsafe ring.deallocate()
            throw SystemCallError("io_uring_setup", errorNumber: -result)
        }
        unsafe self.ring = ring
        unsafe batch = .allocate(capacity: Int(Self.batchCount))
        let entryCount = Int(unsafe ring.pointee.sq.ring_entries)
        unsafe addresses = .allocate(
            byteCount: entryCount * Self.addressByteCount, alignment: 16)
        // Linux 6.6 to 6.8 with deferred task work: a repeating accept on a busy ring can answer a
        // number that is no descriptor.
        acceptsRepeatedly = !(6006...6008).contains(bp_kernel_version())
    }

    deinit {
        unsafe io_uring_queue_exit(ring)
        unsafe ring.deallocate()
        unsafe batch.deallocate()
        unsafe addresses.deallocate()
    }

    /// A free entry; a full queue is submitted first.
    private mutating func nextEntry() -> UnsafeMutablePointer<io_uring_sqe> {
        while true {
            if let entry = unsafe io_uring_get_sqe(ring) { return unsafe entry }
            let result = unsafe io_uring_submit(ring)
            switch result {
            case -11, -16, -4:
                // EAGAIN, EBUSY: the kernel wants its completions taken first; EINTR: a signal.
                _ = unsafe io_uring_get_events(ring)
                var taken: [Completion] = []
                take(into: &taken)
                early += taken
            case ..<0:
                fatalError("io_uring_enter: \(SystemCallError.message(for: -result))")
            default: break
            }
        }
    }

    mutating func accept(_ descriptor: Int32, userData: UInt64) {
        let accept = Accept(userData: userData, descriptor: descriptor)
        accepts.append(accept)
        queue(accept)
    }

    private mutating func queue(_ accept: Accept) {
        let entry = unsafe nextEntry()
        // SOCK_NONBLOCK | SOCK_CLOEXEC
        let flags: Int32 = 0o2004000
        if acceptsRepeatedly {
            unsafe io_uring_prep_multishot_accept(entry, accept.descriptor, nil, nil, flags)
        } else {
            unsafe io_uring_prep_accept(entry, accept.descriptor, nil, nil, flags)
        }
        unsafe io_uring_sqe_set_data64(entry, accept.userData)
    }

    mutating func connect(_ descriptor: Int32, to address: SocketAddress, userData: UInt64) {
        let entry = unsafe nextEntry()
        let index = unsafe entry - ring.pointee.sq.sqes
        let place = unsafe addresses + index * Self.addressByteCount
        var raw = address.raw
        let length = unsafe bp_sockaddr_make(&raw, place)
        unsafe io_uring_prep_connect(
            entry, descriptor, UnsafePointer(place.assumingMemoryBound(to: sockaddr.self)),
            UInt32(length))
        unsafe io_uring_sqe_set_data64(entry, userData)
    }

    mutating func receive(
        _ descriptor: Int32, into bytes: UnsafeMutableRawBufferPointer, waitAll: Bool,
        userData: UInt64
    ) {
        let entry = unsafe nextEntry()
        // MSG_WAITALL
        unsafe io_uring_prep_recv(
            entry, descriptor, bytes.baseAddress, bytes.count, waitAll ? 0x100 : 0)
        unsafe io_uring_sqe_set_data64(entry, userData)
    }

    mutating func send(
        _ descriptor: Int32, _ bytes: UnsafeRawBufferPointer, more: Bool, userData: UInt64
    ) {
        let entry = unsafe nextEntry()
        // MSG_WAITALL | MSG_NOSIGNAL, MSG_MORE
        unsafe io_uring_prep_send(
            entry, descriptor, bytes.baseAddress, bytes.count, 0x4100 | (more ? 0x8000 : 0))
        unsafe io_uring_sqe_set_data64(entry, userData)
    }

    mutating func poll(_ descriptor: Int32, for readiness: Readiness, userData: UInt64) {
        let entry = unsafe nextEntry()
        // POLLIN, POLLOUT
        unsafe io_uring_prep_poll_add(entry, descriptor, readiness == .readable ? 1 : 4)
        unsafe io_uring_sqe_set_data64(entry, userData)
    }

    mutating func cancel(_ userData: UInt64) {
        for index in accepts.indices where accepts[index].userData == userData {
            accepts[index].isCancelled = true
        }
        let entry = unsafe nextEntry()
        unsafe io_uring_prep_cancel64(entry, userData, 0)
        // The cancellation's own completion belongs to nobody.
        unsafe io_uring_sqe_set_data64(entry, 0)
    }

    /// Submits what is queued, waits for a completion or the deadline, and copies completions out.
    mutating func wait(
        untilNanoseconds deadline: UInt64?, into completions: inout [Completion]
    ) throws(SystemCallError) {
        var first: UnsafeMutablePointer<io_uring_cqe>?
        var result: Int32
        // What was taken early is not to be waited for.
        if let deadline = early.isEmpty ? deadline : 0 {
            let now = Clock.monotonicNanoseconds
            let rest = deadline > now ? deadline - now : 0
            var timeout = __kernel_timespec(
                tv_sec: Int64(rest / 1_000_000_000), tv_nsec: Int64(rest % 1_000_000_000))
            result = unsafe io_uring_submit_and_wait_timeout(ring, &first, 1, &timeout, nil)
        } else {
            result = unsafe io_uring_submit_and_wait(ring, 1)
        }
        // ETIME: the deadline; EINTR: a signal; EAGAIN, EBUSY: completions must be taken first.
        if result < 0, ![-62, -4, -11, -16].contains(result) {
            throw SystemCallError("io_uring_enter", errorNumber: -result)
        }
        if !early.isEmpty {
            completions.append(contentsOf: early)
            early.removeAll(keepingCapacity: true)
        }
        take(into: &completions)
        while let accept = renewals.popLast() { queue(accept) }
    }

    /// Copies out what the completion queue holds, and what did not fit into it.
    private mutating func take(into completions: inout [Completion]) {
        while true {
            let count = unsafe io_uring_peek_batch_cqe(ring, batch, Self.batchCount)
            guard count > 0 else { return }
            for index in 0..<Int(count) {
                guard let entry = unsafe batch[index] else { continue }
                let userData = unsafe entry.pointee.user_data
                guard userData != 0 else { continue }
                let completion = unsafe Completion(
                    tag: OperationTag(userData: userData), result: entry.pointee.res,
                    hasMore: entry.pointee.flags & BP_CQE_F_MORE != 0)
                append(completion, userData, to: &completions)
            }
            unsafe io_uring_cq_advance(ring, count)
        }
    }

    private mutating func append(
        _ completion: Completion, _ userData: UInt64, to completions: inout [Completion]
    ) {
        guard !completion.hasMore,
            let index = accepts.firstIndex(where: { $0.userData == userData })
        else {
            completions.append(completion)
            return
        }
        guard completion.result >= 0 else {
            accepts.remove(at: index)
            completions.append(completion)
            return
        }
        completions.append(
            Completion(tag: completion.tag, result: completion.result, hasMore: true))
        if accepts[index].isCancelled {
            // The cancel came between this connection and the renewal.
            accepts.remove(at: index)
            completions.append(
                Completion(tag: completion.tag, result: Self.canceled, hasMore: false))
        } else {
            renewals.append(accepts[index])
        }
    }
}
