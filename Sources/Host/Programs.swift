import CSystem
import Ring
package import System
package import Wire

/// The programs that are connected to the daemon, and the socket that those of this machine come
/// by.
package struct Programs: ~Copyable {
    /// As it stands in BPROC_SOCKET: a path, or "@" and an abstract name.
    package let socketName: String
    var listener: Acceptor
    /// This program itself, which is also the capture helper that libbproc starts.
    private let helper: OwnedDescriptor?
    let helperNumber: Int32?
    /// The processes of this machine: the helper reads its caller through it, who may see no /proc.
    private let processes: OwnedDescriptor?
    package let processesNumber: Int32?
    private var clients: [ClientID: Client] = [:]
    private var nextClient: UInt64 = 1

    init(socketName: String) throws(SystemCallError) {
        // Anyone may connect; what each may do depends on who it is.
        let socket = OwnedDescriptor(
            adopting: Int32(
                try check(
                    "listen on \(socketName)",
                    unsafe socketName.withCString { unsafe bp_unix_listen($0, 0o666) })))
        listener = Acceptor(
            socket, tag: OperationTag(kind: HostOperation.programAccept, slot: 0))
        let own = bp_open_own_program()
        if own >= 0 {
            helperNumber = Int32(own)
            helper = OwnedDescriptor(adopting: Int32(own))
        } else {
            helperNumber = nil
            helper = nil
        }
        let processes = bp_open_processes()
        if processes >= 0 {
            processesNumber = Int32(processes)
            self.processes = OwnedDescriptor(adopting: Int32(processes))
        } else {
            processesNumber = nil
            self.processes = nil
        }
        self.socketName = socketName
    }

    /// Opens a client's own directory in /proc for it; nil: there is none to be had.
    func lendDirectory(to client: Client) -> Int32? {
        guard client.lentDirectoryNumber == nil else { return client.lentDirectoryNumber }
        guard let processesNumber else { return nil }
        let directory = bp_open_process(processesNumber, client.process)
        guard directory >= 0 else { return nil }
        client.lentDirectory = OwnedDescriptor(adopting: Int32(directory))
        client.lentDirectoryNumber = Int32(directory)
        return client.lentDirectoryNumber
    }

    /// Sends a file with the message that is sent to the client next.
    package func attach(_ file: consuming OwnedDescriptor, to client: Client) {
        client.outgoingDescriptors.append((client.outgoing.count, file.number))
        client.lentFile = consume file
    }

    func removeSocket() {
        guard socketName.utf8.first != UInt8(ascii: "@") else { return }
        _ = unsafe socketName.withCString { unsafe bp_unlink_path($0) }
    }

    mutating func insert(
        _ descriptor: consuming OwnedDescriptor
    ) throws(SystemCallError) -> Client {
        let client = try Client(id: ClientID(nextClient), descriptor: descriptor)
        nextClient += 1
        clients[client.id] = client
        return client
    }

    package mutating func insert(caller: Caller, place: RemotePlace) -> Client {
        let client = Client(id: ClientID(nextClient), caller: caller, place: place)
        nextClient += 1
        clients[client.id] = client
        return client
    }

    package var all: [Client] { Array(clients.values) }

    mutating func remove(_ client: Client) { clients[client.id] = nil }

    package subscript(id: ClientID) -> Client? { clients[id] }

    func tag(_ kind: UInt8, _ client: Client) -> OperationTag {
        OperationTag(
            kind: kind, slot: UInt32(truncatingIfNeeded: client.id.rawValue),
            generation: UInt32(client.id.rawValue >> 32) & 0xff_ffff)
    }

    func client(_ tag: OperationTag) -> Client? {
        clients[ClientID(UInt64(tag.generation) << 32 | UInt64(tag.slot))]
    }
}
