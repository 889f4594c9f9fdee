public import System

/// The engine of a daemon: operations are queued, submitted together in one call, and their
/// completions taken in batches before any of them is acted on. One ring, one thread.
///
/// Buffers belong to the caller and must stay valid until the operation's completion has been
/// taken. To give a descriptor up: shut it down, cancel what is under way, keep the buffers until
/// the completions have come, then close.
public struct Ring: ~Copyable {
    public enum BackEnd: Equatable, Sendable, CustomStringConvertible {
        case uring
        /// With the reason why not the ring.
        case epoll(String)

        public var description: String {
            switch self {
            case .uring: "io_uring"
            case .epoll(let reason): "epoll (\(reason))"
            }
        }
    }

    public let backEnd: BackEnd
    private var uring: Uring?
    private var epoll: Epoll?
    private var completions: [Completion] = []
    private var taken = 0

    /// - Parameters:
    ///   - entries: submission entries; more operations than that are submitted in parts.
    ///   - forbidsUring: take epoll even where io_uring works.
    public init(entries: Int, forbidsUring: Bool = false) throws(SystemCallError) {
        var reason = "asked for"
        if !forbidsUring {
            do throws(SystemCallError) {
                uring = try Uring(entries: UInt32(entries))
                backEnd = .uring
                return
            } catch {
                reason = "\(error); seccomp, kernel.io_uring_disabled or the limit on locked memory"
            }
        }
        uring = nil
        epoll = try Epoll()
        backEnd = .epoll(reason)
    }

    /// Accepts connections on a listening socket, again and again: each completion's result is a
    /// new descriptor, non-blocking and close-on-exec.
    public mutating func accept(_ descriptor: Int32, tag: OperationTag) {
        if uring != nil {
            uring!.accept(descriptor, userData: tag.userData)
        } else {
            epoll!.queue(.accept, descriptor, tag: tag)
        }
    }

    public mutating func connect(_ descriptor: Int32, to address: SocketAddress, tag: OperationTag)
    {
        if uring != nil {
            uring!.connect(descriptor, to: address, userData: tag.userData)
        } else {
            epoll!.connect(descriptor, to: address, tag: tag)
        }
    }

    /// Receives into `bytes`. With `waitAll` it completes when all of it is filled (or the peer
    /// ends), otherwise with what comes first; 0 is the end of the stream.
    public mutating func receive(
        _ descriptor: Int32, into bytes: UnsafeMutableRawBufferPointer, waitAll: Bool,
        tag: OperationTag
    ) {
        if uring != nil {
            unsafe uring!.receive(
                descriptor, into: bytes, waitAll: waitAll, userData: tag.userData)
        } else {
            unsafe epoll!.receive(descriptor, into: bytes, waitAll: waitAll, tag: tag)
        }
    }

    /// Sends all of `bytes`, or fails.
    public mutating func send(
        _ descriptor: Int32, _ bytes: UnsafeRawBufferPointer, more: Bool = false, tag: OperationTag
    ) {
        if uring != nil {
            unsafe uring!.send(descriptor, bytes, more: more, userData: tag.userData)
        } else {
            unsafe epoll!.send(descriptor, bytes, more: more, tag: tag)
        }
    }

    /// Completes once, when the descriptor is ready (or in error). A pidfd is readable when its
    /// process has ended.
    public mutating func poll(_ descriptor: Int32, for readiness: Readiness, tag: OperationTag) {
        if uring != nil {
            uring!.poll(descriptor, for: readiness, userData: tag.userData)
        } else {
            epoll!.queue(
                readiness == .readable ? .pollReadable : .pollWritable, descriptor, tag: tag)
        }
    }

    /// Asks for an end of the operation with this tag; it completes with ECANCELED if it had not
    /// ended.
    public mutating func cancel(_ tag: OperationTag) {
        if uring != nil {
            uring!.cancel(tag.userData)
        } else {
            epoll!.cancel(tag)
        }
    }

    /// Submits everything queued in one call and waits until something has completed, or the
    /// deadline (CLOCK_MONOTONIC) has passed.
    public mutating func waitForCompletions(untilNanoseconds deadline: UInt64?)
        throws(SystemCallError)
    {
        precondition(taken == completions.count, "completions were left untaken")
        completions.removeAll(keepingCapacity: true)
        taken = 0
        if uring != nil {
            try uring!.wait(untilNanoseconds: deadline, into: &completions)
        } else {
            try epoll!.wait(untilNanoseconds: deadline, into: &completions)
        }
    }

    /// The next completion of the batch, or nil when all are taken.
    public mutating func nextCompletion() -> Completion? {
        guard taken < completions.count else { return nil }
        defer { taken += 1 }
        return completions[taken]
    }
}
