/// Whose operation it is: chosen by the caller, handed back with every completion. The generation
/// tells a late completion of a reused slot from one that is meant for the slot's present owner.
public struct OperationTag: Hashable, Sendable {
    /// What kind of operation it is to the caller; 0 is the ring's own.
    public let kind: UInt8
    public let slot: UInt32
    /// 24 bits.
    public let generation: UInt32

    public init(kind: UInt8, slot: UInt32, generation: UInt32 = 0) {
        precondition(kind != 0 && generation <= 0xff_ffff)
        self.kind = kind
        self.slot = slot
        self.generation = generation
    }

    /// The tag as 64 bits of user data.
    var userData: UInt64 {
        UInt64(kind) << 56 | UInt64(generation) << 32 | UInt64(slot)
    }

    init(userData: UInt64) {
        kind = UInt8(userData >> 56)
        generation = UInt32(userData >> 32) & 0xff_ffff
        slot = UInt32(truncatingIfNeeded: userData)
    }
}

/// An operation that has ended, or for a repeating one, has happened once more.
public struct Completion: Sendable {
    public let tag: OperationTag
    /// The call's result, or a negated errno.
    public let result: Int32
    /// A repeating operation is still armed.
    public let hasMore: Bool
}

/// What a descriptor is waited for.
public enum Readiness: Sendable {
    case readable
    case writable
}
