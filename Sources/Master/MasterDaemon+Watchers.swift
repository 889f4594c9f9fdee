import CLocalProtocol
import Host
import LocalProtocol
import MasterCore
import System
import Wire

// The servers of ghosts whose caller keeps the channel of the job for itself.
extension MasterDaemon {
    mutating func watchJob(_ request: UInt32, of client: Client) {
        guard client.launch == nil, client.watcher == nil, client.watched == nil,
            let socket = client.attached.take()
        else {
            // EINVAL
            refuse(
                client, request: request, errorNumber: 22,
                reason: "a socket for a job that is still to come was expected")
            return
        }
        do throws(SystemCallError) {
            let watcher = try host.adopt(socket, of: client)
            watcher.watched = client.id
            client.watcher = watcher.id
            send(LocalMessage.bytes(BPROC_LOCAL_NODE_DONE, request: request), to: client)
        } catch {
            refuse(
                client, request: request, errorNumber: error.errorNumber,
                reason: error.description)
        }
    }

    /// The watcher of this client's job, if it has one.
    func watcher(of client: Client) -> Client? { client.watcher.flatMap { host.programs[$0] } }

    /// One of the two is gone: a caller without its ghosts has lost its job. The other way round
    /// it depends on the caller. A server that leaves when the job is over only leaves.
    /// - Returns: the server of ghosts that have outlived the caller.
    mutating func endWatch(of client: Client) -> ClientID? {
        if let watcher = watcher(of: client) {
            client.watcher = nil
            watcher.watched = nil
            if let launch = client.launch, host.store.state.isKept(launch) { return watcher.id }
            close(watcher)
        }
        guard let id = client.watched, let caller = host.programs[id] else { return nil }
        caller.watcher = nil
        if let launch = caller.launch, host.store.state.order(of: launch) != nil {
            host.store.state.keep(launch, false)
            close(caller)
        }
        return nil
    }
}
