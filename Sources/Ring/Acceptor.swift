public import System

/// A listening socket on a ring, accepted on again and again.
///
/// Where no connection can be accepted, as without a free descriptor, the kernel would answer the
/// next attempt at once with the same error, and the one after that: accepting pauses for a moment
/// instead.
public struct Acceptor: ~Copyable {
    /// What one completion of the listener's tag has brought.
    public enum Outcome: Equatable, Sendable {
        /// A connection: non-blocking, close-on-exec, the caller's to own.
        case connection(Int32)
        /// Accepting pauses, for this error number; told once a minute at most.
        case paused(errorNumber: Int32)
        case nothing
    }

    /// How long accepting pauses.
    public static let pauseNanoseconds: UInt64 = 200_000_000

    private static let quietNanoseconds: UInt64 = 60_000_000_000

    private let descriptor: OwnedDescriptor
    private let tag: OperationTag
    /// When accepting goes on (CLOCK_MONOTONIC); nil: it does not pause.
    public private(set) var resumeNanoseconds: UInt64?
    private var quietUntilNanoseconds: UInt64 = 0

    public init(_ descriptor: consuming OwnedDescriptor, tag: OperationTag) {
        self.descriptor = descriptor
        self.tag = tag
    }

    public borrowing func start(on ring: inout Ring) { ring.accept(descriptor.number, tag: tag) }

    public mutating func take(
        _ completion: Completion, now: UInt64, ring: inout Ring
    ) -> Outcome {
        let isOver = !completion.hasMore
        if completion.result >= 0 {
            if isOver { start(on: &ring) }
            return .connection(completion.result)
        }
        guard isOver else { return .nothing }
        if Self.isOfOneConnection(-completion.result) {
            start(on: &ring)
            return .nothing
        }
        resumeNanoseconds = now + Self.pauseNanoseconds
        guard now >= quietUntilNanoseconds else { return .nothing }
        quietUntilNanoseconds = now + Self.quietNanoseconds
        return .paused(errorNumber: -completion.result)
    }

    /// Goes on accepting once the pause is over.
    public mutating func tick(now: UInt64, ring: inout Ring) {
        guard let resumeNanoseconds, now >= resumeNanoseconds else { return }
        self.resumeNanoseconds = nil
        start(on: &ring)
    }

    /// Errors that concern a connection which is gone by the time they are told: EINTR, EAGAIN,
    /// ECONNABORTED.
    private static func isOfOneConnection(_ errorNumber: Int32) -> Bool {
        errorNumber == 4 || errorNumber == 11 || errorNumber == 103
    }
}
