import CSystem

/// A file descriptor with exactly one owner; closed when the owner lets go of it.
public struct OwnedDescriptor: ~Copyable {
    /// The number, for calls that borrow the descriptor.
    public let number: Int32

    /// Takes over a descriptor that nobody else will close.
    public init(adopting number: Int32) {
        precondition(number >= 0, "a descriptor is never negative")
        self.number = number
    }

    /// Gives the descriptor away: the caller closes it.
    public consuming func release() -> Int32 {
        let number = number
        discard self
        return number
    }

    public func duplicate() throws(SystemCallError) -> OwnedDescriptor {
        OwnedDescriptor(
            adopting: Int32(try check("duplicate descriptor", bp_dup_cloexec(number))))
    }

    deinit { _ = bp_close(number) }
}
