import CLocalProtocol
import CSystem
import MasterCore
import System

/// A program on this machine, connected over the local socket. Who it is comes from the kernel.
final class LocalClient {
    let id: ClientID
    let descriptor: OwnedDescriptor
    let caller: Caller
    /// Received bytes that are not a whole message yet.
    var received: [UInt8] = []
    /// The descriptor that came with the message being received.
    var attached: OwnedDescriptor?
    var outgoing: [UInt8] = []
    /// A descriptor to send with the byte at this place of `outgoing`.
    var outgoingDescriptor: (place: Int, number: Int32)?
    var isPollingWritable = false
    var isClosed = false
    var hasSaidHello = false
    /// The launch whose job channel this connection is.
    var launch: UInt64?
    var launchRequest: UInt32 = 0

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
    func takeMessage() throws(LocalProtocolError) -> (header: bproc_local_header, body: [UInt8])? {
        try LocalMessage.take(from: &received)
    }
}

/// What a local program did wrong.
package enum LocalProtocolError: Error, CustomStringConvertible {
    case badMagic
    case versionMismatch(theirs: UInt16)
    case tooLarge(byteCount: UInt32)
    case tooSmall(String)
    case invalid(String)

    package var description: String {
        switch self {
        case .badMagic: "this is not the bproc local protocol"
        case .versionMismatch(let theirs):
            "the library speaks local protocol \(theirs), the daemon \(BPROC_LOCAL_VERSION)"
        case .tooLarge(let byteCount):
            "a message of \(byteCount) bytes, at most \(BPROC_LOCAL_BODY_MAX) are allowed"
        case .tooSmall(let what): "\(what) is cut short"
        case .invalid(let what): what
        }
    }
}
