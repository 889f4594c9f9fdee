import Glibc
public import System

/// poll(2) over a handful of descriptors.
public enum Poll {
    public struct Entry {
        public var descriptor: Int32
        public var events: Int16
        public var ready: Int16 = 0

        public init(_ descriptor: Int32, _ events: Int16) {
            self.descriptor = descriptor
            self.events = events
        }
    }

    public static let readable = Int16(POLLIN)
    public static let writable = Int16(POLLOUT)

    /// Waits until one of them is ready, the time is over (nil: none is set), or a signal came.
    public static func wait(
        _ entries: inout [Entry], timeoutMilliseconds: Int32? = nil
    ) throws(SystemCallError) {
        var list = entries.map { pollfd(fd: $0.descriptor, events: $0.events, revents: 0) }
        let result = unsafe list.withUnsafeMutableBufferPointer { list in
            unsafe poll(list.baseAddress, nfds_t(list.count), timeoutMilliseconds ?? -1)
        }
        if result < 0 && errno != EINTR { throw SystemCallError("poll", errorNumber: errno) }
        for index in entries.indices { entries[index].ready = result > 0 ? list[index].revents : 0 }
    }
}
