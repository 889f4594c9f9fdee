import CSystem

/// A shared mapping of a file, unmapped when its owner lets go of it. The pointer is valid for
/// exactly that long.
@safe
public struct OwnedMapping: ~Copyable {
    private let base: UnsafeMutableRawPointer
    public let byteCount: Int

    public init(of descriptor: Int32, byteCount: Int, isWritable: Bool) throws(SystemCallError) {
        precondition(byteCount > 0)
        var error: Int32 = 0
        guard
            let base = unsafe bp_map_shared(descriptor, byteCount, isWritable ? 1 : 0, &error)
        else { throw SystemCallError("map \(byteCount) bytes", errorNumber: -error) }
        unsafe self.base = base
        self.byteCount = byteCount
    }

    deinit { _ = unsafe bp_unmap(base, byteCount) }

    /// The mapped bytes; not to be used after the mapping is gone.
    public var bytes: UnsafeMutableRawBufferPointer {
        unsafe UnsafeMutableRawBufferPointer(start: base, count: byteCount)
    }

    /// Faults every page in now.
    public func populate() throws(SystemCallError) {
        try check("populate \(byteCount) bytes", unsafe bp_populate_for_writing(base, byteCount))
    }
}
