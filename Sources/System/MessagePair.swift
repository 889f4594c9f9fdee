import CSystem

/// Two connected ends, close-on-exec, that keep messages whole: ours does not block, the other's
/// does.
public struct MessagePair: ~Copyable {
    public let near: OwnedDescriptor
    public let far: OwnedDescriptor

    public init() throws(SystemCallError) {
        var numbers: [2 of Int32] = [-1, -1]
        let result = unsafe withUnsafeMutablePointer(to: &numbers) { pointer in
            unsafe pointer.withMemoryRebound(to: Int32.self, capacity: 2) {
                unsafe bp_message_pair($0)
            }
        }
        try check("create a socket pair", result)
        near = OwnedDescriptor(adopting: numbers[0])
        far = OwnedDescriptor(adopting: numbers[1])
    }

    /// Takes both ends apart.
    public consuming func split() -> (near: Int32, far: Int32) {
        (near.release(), far.release())
    }
}
