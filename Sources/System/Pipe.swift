import CSystem

/// Two ends of a pipe, close-on-exec.
public struct Pipe: ~Copyable {
    public let reading: OwnedDescriptor
    public let writing: OwnedDescriptor

    public init(nonblockingRead: Bool = false, nonblockingWrite: Bool = false)
        throws(SystemCallError)
    {
        var numbers: [2 of Int32] = [-1, -1]
        let result = unsafe withUnsafeMutablePointer(to: &numbers) { pointer in
            unsafe pointer.withMemoryRebound(to: Int32.self, capacity: 2) {
                unsafe bp_pipe($0, nonblockingRead ? 1 : 0, nonblockingWrite ? 1 : 0)
            }
        }
        try check("create a pipe", result)
        reading = OwnedDescriptor(adopting: numbers[0])
        writing = OwnedDescriptor(adopting: numbers[1])
    }

    /// Takes both ends apart.
    public consuming func split() -> (reading: Int32, writing: Int32) {
        (reading.release(), writing.release())
    }
}

/// Non-blocking reads and writes of descriptors that are not sockets.
public enum Stream {
    public static func readAvailable(_ descriptor: Int32, into bytes: UnsafeMutableRawBufferPointer)
        throws(SystemCallError) -> Int?
    {
        try Socket.full("read", unsafe bp_read(descriptor, bytes.baseAddress!, bytes.count))
    }

    public static func writeAvailable(_ descriptor: Int32, _ bytes: ArraySlice<UInt8>)
        throws(SystemCallError) -> Int?
    {
        let result = unsafe bytes.withUnsafeBytes { all in
            unsafe all.baseAddress.map { unsafe bp_write(descriptor, $0, all.count) } ?? 0
        }
        return try Socket.full("write", result)
    }
}
