import CLocalProtocol
import CSystem
import Host
import LocalProtocol
import SlaveCore
import System
import Wire

// Ranks that move on to other nodes.
extension SlaveDaemon {
    /// The rank that a program is which asks for this launch; nil: it does not move, or it is none.
    mutating func mover(of message: [UInt8], by client: Client) -> ClientLaunch.Mover? {
        guard let raw = LocalMessage.load(bproc_local_launch.self, from: message),
            raw.flags & UInt32(BPROC_LOCAL_LAUNCH_MOVE) != 0,
            let process = ranks.all.first(where: { $0.pid == client.process && $0.exit == nil })
        else { return nil }
        passOutputs(of: process)
        let forwards =
            raw.io_count == Int32(BPROC_LOCAL_IO_FORWARD)
            || raw.flags & UInt32(BPROC_LOCAL_LAUNCH_FORWARD) != 0
        return ClientLaunch.Mover(
            launch: process.launch, rank: process.rank,
            leaves: host.programs.processesNumber != nil && family(of: process).isEmpty
                && (!forwards || hasItsOutputs(process)))
    }

    /// Whether the standard output and error of a rank are the pipes that it was given: what it
    /// writes elsewhere can be written there only.
    private func hasItsOutputs(_ process: RankProcess) -> Bool {
        guard let processes = host.programs.processesNumber else { return false }
        return (1...2).allSatisfy { stream in
            guard let output = process.outputs[stream - 1] else { return false }
            return bp_process_has_file(
                processes, process.pid, Int32(stream), output.descriptor.number) == 1
        }
    }
}
