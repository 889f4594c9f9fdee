import CLiburing
import CSystem
import System

/// The io_uring back end: one ring, one thread.
///
/// The memory behind `ring` and `addresses` has one owner, this value; the kernel reads `addresses`
/// only during submission.
@safe
struct Uring: ~Copyable {
    private let ring: UnsafeMutablePointer<io_uring>
    private let batch: UnsafeMutablePointer<UnsafeMutablePointer<io_uring_cqe>?>
    /// Socket addresses of connects that are queued but not submitted.
    private let addresses: UnsafeMutableRawPointer
    private var addressCount = 0

    private static let batchCount: UInt32 = 256
    private static let addressLimit = 32
    private static let addressByteCount = 32

    init(entries: UInt32) throws(SystemCallError) {
        let ring = UnsafeMutablePointer<io_uring>.allocate(capacity: 1)
        // Newer flags first: completions then run only when this thread asks for them.
        let completionQueue = UInt32(IORING_SETUP_CQSIZE)
        let choices: [UInt32] = [
            UInt32(IORING_SETUP_SINGLE_ISSUER) | UInt32(IORING_SETUP_DEFER_TASKRUN),
            UInt32(IORING_SETUP_COOP_TASKRUN), 0,
        ]
        var result: Int32 = -1
        for flags in choices {
            unsafe ring.initialize(to: io_uring())
            var parameters = io_uring_params()
            parameters.flags = flags | completionQueue
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
        unsafe addresses = .allocate(
            byteCount: Self.addressLimit * Self.addressByteCount, alignment: 16)
    }

    deinit {
        unsafe io_uring_queue_exit(ring)
        unsafe ring.deallocate()
        unsafe batch.deallocate()
        unsafe addresses.deallocate()
    }

    private mutating func nextEntry() -> UnsafeMutablePointer<io_uring_sqe> {
        if let entry = unsafe io_uring_get_sqe(ring) { return unsafe entry }
        submit()
        guard let entry = unsafe io_uring_get_sqe(ring) else {
            preconditionFailure("the submission queue is full right after a submission")
        }
        return unsafe entry
    }

    private mutating func submit() {
        _ = unsafe io_uring_submit(ring)
        addressCount = 0
    }

    mutating func accept(_ descriptor: Int32, userData: UInt64) {
        let entry = unsafe nextEntry()
        // SOCK_NONBLOCK | SOCK_CLOEXEC
        unsafe io_uring_prep_multishot_accept(entry, descriptor, nil, nil, 0o2004000)
        unsafe io_uring_sqe_set_data64(entry, userData)
    }

    mutating func connect(_ descriptor: Int32, to address: SocketAddress, userData: UInt64) {
        if addressCount == Self.addressLimit { submit() }
        let place = unsafe addresses + addressCount * Self.addressByteCount
        addressCount += 1
        var raw = address.raw
        let length = unsafe bp_sockaddr_make(&raw, place)
        let entry = unsafe nextEntry()
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
        if let deadline {
            let now = Clock.monotonicNanoseconds
            let rest = deadline > now ? deadline - now : 0
            var timeout = __kernel_timespec(
                tv_sec: Int64(rest / 1_000_000_000), tv_nsec: Int64(rest % 1_000_000_000))
            result = unsafe io_uring_submit_and_wait_timeout(ring, &first, 1, &timeout, nil)
        } else {
            result = unsafe io_uring_submit_and_wait(ring, 1)
        }
        addressCount = 0
        // ETIME: the deadline; EINTR: a signal; EAGAIN, EBUSY: completions must be taken first.
        if result < 0, ![-62, -4, -11, -16].contains(result) {
            throw SystemCallError("io_uring_enter", errorNumber: -result)
        }
        while true {
            let count = unsafe io_uring_peek_batch_cqe(ring, batch, Self.batchCount)
            guard count > 0 else { return }
            for index in 0..<Int(count) {
                guard let entry = unsafe batch[index] else { continue }
                let userData = unsafe entry.pointee.user_data
                guard userData != 0 else { continue }
                unsafe completions.append(
                    Completion(
                        tag: OperationTag(userData: userData), result: entry.pointee.res,
                        hasMore: entry.pointee.flags & BP_CQE_F_MORE != 0))
            }
            unsafe io_uring_cq_advance(ring, count)
        }
    }
}
