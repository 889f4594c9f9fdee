import CSystem
package import System
package import Wire

/// A program on this machine, connected over the local socket. Who it is comes from the kernel.
package final class Client {
    package let id: ClientID
    let descriptor: OwnedDescriptor
    package let caller: Caller
    /// Received bytes that are not a whole message yet.
    var received: [UInt8] = []
    /// The descriptor that came with the message being received.
    package var attached: OwnedDescriptor?
    var outgoing: [UInt8] = []
    /// A descriptor to send with the byte at this place of `outgoing`.
    var outgoingDescriptor: (place: Int, number: Int32)?
    var isPollingWritable = false
    package internal(set) var isClosed = false
    var hasSaidHello = false
    /// The launch whose job channel this connection is.
    package var launch: UInt64?
    package var launchRequest: UInt32 = 0

    /// A client that lets more than this pile up does not read.
    static let backlogByteLimit = 256 << 20

    init(id: ClientID, descriptor: consuming OwnedDescriptor) throws(SystemCallError) {
        var credentials = bp_credentials()
        try check(
            "read the peer's credentials",
            unsafe bp_peer_credentials(descriptor.number, &credentials))
        let number = descriptor.number
        var count = 0
        let groups = unsafe [UInt32](unsafeUninitializedCapacity: 4096) { buffer, filled in
            unsafe buffer.initialize(repeating: 0)
            count = unsafe bp_peer_groups(number, buffer.baseAddress!, 4096)
            filled = max(0, count)
        }
        try check("read the peer's groups", count)
        self.id = id
        self.descriptor = descriptor
        caller = Caller(
            user: credentials.uid, group: credentials.gid, supplementaryGroups: groups)
    }

    /// Takes the next whole message off what was received.
    func takeMessage() throws(LocalProtocolError) -> LocalMessage? {
        try LocalMessage.take(from: &received)
    }
}
