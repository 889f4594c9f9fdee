import CLocalProtocol
import Host
import LocalProtocol
import MasterCore
import System
import Wire

// Requests about the process space, from programs of the front end and from those on nodes.
extension MasterDaemon {
    /// - Returns: whether the message is such a request.
    mutating func processRequest(
        _ message: LocalMessage, from client: Client
    ) throws(LocalProtocolError) -> Bool {
        guard let request = try ProcessRequest(kind: message.kind, body: message.body) else {
            return false
        }
        let asker = Asker(place: .program(client.id), request: message.request)
        do throws(NodeRefusal) {
            if let answer = try act(on: request, for: asker, caller: client.caller) {
                send(answer, to: client)
            }
        } catch {
            send(refusal(error, request: message.request, of: client.caller), to: client)
        }
        return true
    }

    /// - Returns: the whole answer; nil: it comes later.
    mutating func act(
        on request: ProcessRequest, for asker: Asker, caller: Caller
    ) throws(NodeRefusal) -> [UInt8]? {
        let number = asker.request
        switch request {
        case .list(let node, let place):
            let page = host.store.state.processes(
                on: node, after: place, limit: Int(BPROC_LOCAL_PROCESSES_MOST))
            return Self.answer(page.entries.map(\.encoded), isLast: page.isLast, request: number)
        case .one(let process):
            let entry = host.store.state.process(process)
            return Self.answer(
                entry.map { [$0.encoded] } ?? [], isLast: true, request: number)
        case .lost(let process):
            let lost = host.store.state.lostProcesses[process]
            return Self.answer(
                lost.map { [$0.encoded] } ?? [], isLast: true, request: number)
        case .kill(let process, let signal, let wholeJob):
            try host.store.state.kill(
                process, signal: signal, wholeJob: wholeJob, by: caller, effects: &host.effects)
            return LocalMessage.bytes(BPROC_LOCAL_NODE_DONE, request: number)
        case .status(let node, let patience):
            let question = try host.store.state.askForProcesses(
                on: node, patienceNanoseconds: patience, now: Clock.monotonicNanoseconds,
                effects: &host.effects)
            askers[question] = asker
            return nil
        }
    }

    private static func answer(
        _ entries: [[UInt8]], isLast: Bool, request: UInt32
    ) -> [UInt8] {
        var body = LocalMessage.bytes(
            of: bproc_local_processes(count: UInt32(entries.count), is_last: isLast ? 1 : 0))
        body.reserveCapacity(
            body.count + entries.count * MemoryLayout<bproc_local_process>.stride)
        for entry in entries { body += entry }
        return LocalMessage.bytes(BPROC_LOCAL_PROCESSES, request: request, body: body)
    }
}
