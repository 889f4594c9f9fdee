import CSystem

/// Calls on sockets. A descriptor is borrowed by number; owners are `OwnedDescriptor`.
public enum Socket {
    public static func tcp(family: SocketAddress.Family) throws(SystemCallError) -> OwnedDescriptor
    {
        OwnedDescriptor(
            adopting: Int32(try check("create a TCP socket", bp_tcp_socket(family.rawValue))))
    }

    /// A listening, non-blocking TCP socket.
    public static func listening(on address: SocketAddress) throws(SystemCallError)
        -> OwnedDescriptor
    {
        let socket = try tcp(family: address.family)
        try bind(socket.number, to: address)
        try check("listen on \(address)", bp_listen(socket.number, 1024))
        return socket
    }

    public static func bind(
        _ descriptor: Int32, to address: SocketAddress
    ) throws(SystemCallError) {
        var raw = address.raw
        try unsafe check("bind \(address)", bp_bind(descriptor, &raw))
    }

    public static func setNoDelay(_ descriptor: Int32) throws(SystemCallError) {
        try check("set TCP_NODELAY", bp_set_no_delay(descriptor))
    }

    public static func setBufferSizes(
        _ descriptor: Int32, sendByteCount: Int, receiveByteCount: Int
    ) {
        bp_set_buffer_sizes(
            descriptor, Int32(clamping: sendByteCount), Int32(clamping: receiveByteCount))
    }

    /// The socket counts as readable only when this many bytes are there (or its stream has ended).
    /// A mark above what can still come would never be reached: lower it as the rest shrinks.
    public static func setLowWater(_ descriptor: Int32, byteCount: Int) {
        _ = bp_set_low_water(descriptor, Int32(clamping: byteCount))
    }

    /// Takes another congestion control where the kernel has it.
    public static func setCongestionControl(_ descriptor: Int32, _ name: String) {
        _ = unsafe name.withCString { unsafe bp_set_congestion_control(descriptor, $0) }
    }

    public static func peerAddress(of descriptor: Int32) -> SocketAddress? {
        var raw = bp_address()
        guard unsafe bp_peer_address(descriptor, &raw) >= 0 else { return nil }
        return SocketAddress(raw)
    }

    public static func localAddress(of descriptor: Int32) -> SocketAddress? {
        var raw = bp_address()
        guard unsafe bp_local_address(descriptor, &raw) >= 0 else { return nil }
        return SocketAddress(raw)
    }

    public static func shutDown(_ descriptor: Int32) { _ = bp_shutdown(descriptor) }

    /// Sends what the socket takes now.
    /// - Returns: bytes taken, or nil if it is full.
    public static func sendAvailable(
        _ descriptor: Int32, _ bytes: UnsafeRawBufferPointer, hasMore: Bool
    ) throws(SystemCallError) -> Int? {
        guard let base = bytes.baseAddress else { return 0 }
        return try full(
            "send", unsafe bp_send(descriptor, base, bytes.count, hasMore ? 1 : 0))
    }

    public static func sendAvailable(
        _ descriptor: Int32, _ bytes: [UInt8], from start: Int, hasMore: Bool
    ) throws(SystemCallError) -> Int? {
        let result = unsafe bytes.withUnsafeBytes { all in
            unsafe bp_send(
                descriptor, all.baseAddress! + start, all.count - start, hasMore ? 1 : 0)
        }
        return try full("send", result)
    }

    /// Receives what is there now.
    /// - Returns: bytes received, 0 at the end of the stream, nil if nothing is there.
    public static func receiveAvailable(
        _ descriptor: Int32, into bytes: UnsafeMutableRawBufferPointer
    ) throws(SystemCallError) -> Int? {
        try full("receive", unsafe bp_receive(descriptor, bytes.baseAddress!, bytes.count))
    }

    /// Receives what is there now, at most so many bytes.
    /// - Returns: nothing at the end of the stream, nil if nothing is there.
    public static func receiveAvailable(
        _ descriptor: Int32, atMost byteCount: Int
    ) throws(SystemCallError) -> [UInt8]? {
        var result = 0
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: byteCount) { buffer, filled in
            unsafe result = bp_receive(descriptor, buffer.baseAddress!, byteCount)
            filled = max(0, result)
        }
        return try full("receive", result) == nil ? nil : bytes
    }

    static func full(_ operation: String, _ result: Int) throws(SystemCallError) -> Int? {
        if result >= 0 { return result }
        // EAGAIN and EINTR: nothing is lost, the caller asks again when the descriptor is ready.
        if result == -11 || result == -4 { return nil }
        throw SystemCallError(operation, result: result)
    }
}

/// Moving file bytes by page reference. Called directly after the ring has said that there is room:
/// as ring operations they would go to a worker thread.
public enum Bulk {
    /// - Returns: bytes taken, or nil if the socket is full.
    public static func sendFile(
        from file: Int32, offset: Int, byteCount: Int, to socket: Int32
    ) throws(SystemCallError) -> Int? {
        let result = bp_sendfile(socket, file, UInt64(offset), byteCount)
        if result == 0 { throw SystemCallError("send file: it ends early", errorNumber: 5) }
        return try Socket.full("send file", result)
    }
}
