import CSystem
import LocalProtocol
package import Relay
package import System
package import Wire

/// Where a program on a node is: the control link of its slave, and the slave's number for it.
package struct RemotePlace: Hashable, Sendable {
    package let link: LinkID
    package let number: UInt32
    package init(link: LinkID, number: UInt32) {
        self.link = link
        self.number = number
    }
}

/// A program that is served: one on this machine, connected over the local socket, or, at the
/// master, one on a node whose slave passes on what it says. Who it is comes from the kernel of its
/// machine.
package final class Client {
    package let id: ClientID
    package let caller: Caller
    /// nil: it is on this machine.
    package let place: RemotePlace?
    private let descriptor: OwnedDescriptor?
    let descriptorNumber: Int32
    /// Received bytes that are not a whole message yet.
    var received: [UInt8] = []
    /// The descriptor that came with the message being received.
    package var attached: OwnedDescriptor?
    var outgoing: [UInt8] = []
    /// Descriptors to send with the bytes at these places of `outgoing`, in their order.
    var outgoingDescriptors: [(place: Int, number: Int32)] = []
    /// Its directory in /proc, kept until it has been lent.
    var lentDirectory: OwnedDescriptor?
    var lentDirectoryNumber: Int32?
    /// A file for it, kept until it has been sent.
    var lentFile: OwnedDescriptor?
    /// Its process on this machine.
    package let process: Int32
    var isPollingWritable = false
    package internal(set) var isClosed = false
    var hasSaidHello = false
    /// The launch whose job channel this connection is.
    package var launch: UInt64?
    package var launchRequest: UInt32 = 0
    /// The server of its job's ghosts, which hears of ends and stops as well.
    package var watcher: ClientID?
    /// It is such a server, and this is the one whose job it watches.
    package var watched: ClientID?
    /// The server of its job's ghosts holds the connection, and answers what it keeps.
    package var servesGhosts = false
    /// It reads the table of nodes, and nothing else, after every change.
    package var isWatching = false
    /// It watches, and the table has changed since the last one that was sent to it.
    var isOutdated = false
    /// On a node: it has asked for a launch, and this connection is the job's channel.
    package var hasJob = false
    /// On a node: the image of that launch, until the master's answer has come.
    package var image: LaunchImage?

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
        self.descriptor = consume descriptor
        descriptorNumber = number
        place = nil
        process = credentials.pid
        caller = Caller(
            user: credentials.uid, group: credentials.gid, supplementaryGroups: groups)
    }

    init(id: ClientID, caller: Caller, place: RemotePlace) {
        self.id = id
        self.caller = caller
        self.place = place
        descriptor = nil
        descriptorNumber = -1
        process = 0
    }

    func endLoan() {
        lentDirectory = nil
        lentFile = nil
        lentDirectoryNumber = nil
    }

    /// Takes the next whole message off what was received.
    func takeMessage() throws(LocalProtocolError) -> LocalMessage? {
        try LocalMessage.take(from: &received)
    }
}
