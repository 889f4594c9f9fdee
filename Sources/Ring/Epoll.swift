import CSystem
import System

/// The epoll back end: the same operations, carried out by this thread when descriptors are ready.
@safe
struct Epoll: ~Copyable {
    enum Kind {
        case accept
        case connect
        case receive
        case receiveAll
        case send
        case sendMore
        case pollReadable
        case pollWritable

        /// Polls do not wait for one another, nor for the operations queued before them.
        var isPoll: Bool { self == .pollReadable || self == .pollWritable }

        var isInput: Bool {
            switch self {
            case .accept, .receive, .receiveAll, .pollReadable: true
            case .connect, .send, .sendMore, .pollWritable: false
            }
        }
    }

    /// One operation that waits for its descriptor. The buffer belongs to the caller, who keeps it
    /// until the completion.
    @safe
    private struct Operation {
        let kind: Kind
        let tag: OperationTag
        let base: UnsafeMutableRawPointer?
        let byteCount: Int
        var doneByteCount = 0
    }

    /// What waits for one descriptor, by direction, in the order it was queued.
    private struct Interest {
        var operations: [Operation] = []
        var isKnown = false
    }

    private let descriptor: OwnedDescriptor
    private var interests: [Int32: Interest] = [:]
    /// Completions that need no waiting: failures at once, cancellations.
    private var immediate: [Completion] = []
    /// Descriptors whose interest must be told to the kernel before the next wait.
    private var changed: [Int32] = []

    private static let readyLimit = 128
    private static let canceled: Int32 = -125
    private static let input: UInt32 = 0x1
    private static let output: UInt32 = 0x4

    init() throws(SystemCallError) {
        descriptor = OwnedDescriptor(adopting: Int32(try check("epoll_create1", bp_epoll_create())))
    }

    mutating func queue(_ kind: Kind, _ descriptor: Int32, tag: OperationTag) {
        insert(unsafe Operation(kind: kind, tag: tag, base: nil, byteCount: 0), descriptor)
    }

    mutating func connect(_ descriptor: Int32, to address: SocketAddress, tag: OperationTag) {
        var raw = address.raw
        let result = unsafe bp_connect_nonblocking(descriptor, &raw)
        // EINPROGRESS: writable when it has come about.
        guard result == -115 else {
            immediate.append(Completion(tag: tag, result: Int32(result), hasMore: false))
            return
        }
        queue(.connect, descriptor, tag: tag)
    }

    mutating func receive(
        _ descriptor: Int32, into bytes: UnsafeMutableRawBufferPointer, waitAll: Bool,
        tag: OperationTag
    ) {
        insert(
            unsafe Operation(
                kind: waitAll ? .receiveAll : .receive, tag: tag, base: bytes.baseAddress,
                byteCount: bytes.count), descriptor)
    }

    mutating func send(
        _ descriptor: Int32, _ bytes: UnsafeRawBufferPointer, more: Bool, tag: OperationTag
    ) {
        insert(
            unsafe Operation(
                kind: more ? .sendMore : .send, tag: tag,
                base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), byteCount: bytes.count),
            descriptor)
    }

    private mutating func insert(_ operation: Operation, _ descriptor: Int32) {
        interests[descriptor, default: Interest()].operations.append(operation)
        changed.append(descriptor)
    }

    mutating func cancel(_ tag: OperationTag) {
        for descriptor in Array(interests.keys) {
            guard
                let index = interests[descriptor]!.operations.firstIndex(where: { $0.tag == tag })
            else { continue }
            let operation = interests[descriptor]!.operations.remove(at: index)
            // What was sent or received before the cancel is not forgotten.
            let result =
                operation.doneByteCount > 0
                ? Int32(clamping: operation.doneByteCount) : Self.canceled
            immediate.append(Completion(tag: tag, result: result, hasMore: false))
            changed.append(descriptor)
            return
        }
    }

    mutating func wait(
        untilNanoseconds deadline: UInt64?, into completions: inout [Completion]
    ) throws(SystemCallError) {
        for descriptor in changed { tell(descriptor) }
        changed.removeAll(keepingCapacity: true)
        var timeout: Int64 = -1
        if !immediate.isEmpty {
            timeout = 0
        } else if let deadline {
            let now = Clock.monotonicNanoseconds
            timeout = deadline > now ? Int64(clamping: deadline - now) : 0
        }
        let ready = try waitForReady(timeout)
        completions.append(contentsOf: immediate)
        immediate.removeAll(keepingCapacity: true)
        for entry in ready { perform(entry, into: &completions) }
    }

    private func waitForReady(_ timeout: Int64) throws(SystemCallError) -> [bp_ready] {
        var result = 0
        let ready = unsafe [bp_ready](unsafeUninitializedCapacity: Self.readyLimit) {
            buffer, count in
            unsafe buffer.initialize(repeating: bp_ready())
            result = unsafe bp_epoll_wait(
                descriptor.number, buffer.baseAddress!, Int32(Self.readyLimit), timeout)
            count = max(0, result)
        }
        // EINTR: a signal; nothing is ready.
        if result < 0, result != -4 { throw SystemCallError("epoll_wait", result: result) }
        return ready
    }

    private mutating func tell(_ descriptor: Int32) {
        guard let interest = interests[descriptor] else { return }
        var events: UInt32 = 0
        for operation in interest.operations {
            events |= operation.kind.isInput ? Self.input : Self.output
        }
        if events == 0 {
            if interest.isKnown { _ = bp_epoll_set(self.descriptor.number, descriptor, 0, 1) }
            interests[descriptor] = nil
            return
        }
        var result = bp_epoll_set(
            self.descriptor.number, descriptor, events, interest.isKnown ? 1 : 0)
        // The number was closed and given to another file in the meantime, or the reverse.
        if result == -2 { result = bp_epoll_set(self.descriptor.number, descriptor, events, 0) }
        if result == -17 { result = bp_epoll_set(self.descriptor.number, descriptor, events, 1) }
        if result < 0 {
            for operation in interest.operations {
                // EPERM: a regular file, which is always ready.
                let isReady = result == -1 && operation.kind.isPoll
                let ready = Int32(operation.kind.isInput ? Self.input : Self.output)
                immediate.append(
                    Completion(
                        tag: operation.tag, result: isReady ? ready : Int32(result),
                        hasMore: false))
            }
            interests[descriptor] = nil
            return
        }
        interests[descriptor]!.isKnown = true
    }

    private mutating func perform(_ ready: bp_ready, into completions: inout [Completion]) {
        guard var interest = interests[ready.fd] else { return }
        changed.append(ready.fd)
        let isBroken = ready.events & ~(Self.input | Self.output) != 0
        var kept: [Operation] = []
        var isInputBlocked = false
        var isOutputBlocked = false
        for operation in interest.operations {
            let isInput = operation.kind.isInput
            let isReady = isBroken || ready.events & (isInput ? Self.input : Self.output) != 0
            let isBlocked = !operation.kind.isPoll && (isInput ? isInputBlocked : isOutputBlocked)
            guard isReady, !isBlocked else {
                kept.append(operation)
                continue
            }
            var operation = operation
            if carryOut(&operation, ready, into: &completions) {
                kept.append(operation)
                if isInput { isInputBlocked = true } else { isOutputBlocked = true }
            }
        }
        interest.operations = kept
        interests[ready.fd] = interest
    }

    /// - Returns: whether the operation goes on.
    private func carryOut(
        _ operation: inout Operation, _ ready: bp_ready, into completions: inout [Completion]
    ) -> Bool {
        let descriptor = ready.fd
        func complete(_ result: Int, hasMore: Bool = false) {
            completions.append(
                Completion(tag: operation.tag, result: Int32(clamping: result), hasMore: hasMore))
        }
        switch operation.kind {
        case .pollReadable: complete(Int(ready.events & ~Self.output))
        case .pollWritable: complete(Int(ready.events & ~Self.input))
        case .connect: complete(bp_socket_error(descriptor))
        case .accept:
            for _ in 0..<64 {
                let result = bp_accept(descriptor)
                if result == -11 || result == -4 || result == -103 { return true }
                complete(result, hasMore: result >= 0)
                if result < 0 { return false }
            }
            return true
        case .receive, .receiveAll, .send, .sendMore:
            let isInput = operation.kind.isInput
            while true {
                guard let base = unsafe operation.base else {
                    complete(0)
                    return false
                }
                let place = unsafe base + operation.doneByteCount
                let rest = operation.byteCount - operation.doneByteCount
                let result =
                    isInput
                    ? unsafe bp_receive(descriptor, place, rest)
                    : unsafe bp_send(descriptor, place, rest, operation.kind == .sendMore ? 1 : 0)
                if result == -11 || result == -4 { return true }
                if result < 0 || (isInput && result == 0) {
                    complete(operation.doneByteCount > 0 ? operation.doneByteCount : result)
                    return false
                }
                operation.doneByteCount += result
                if operation.kind == .receive || operation.doneByteCount == operation.byteCount {
                    complete(operation.doneByteCount)
                    return false
                }
            }
        }
        return false
    }
}
