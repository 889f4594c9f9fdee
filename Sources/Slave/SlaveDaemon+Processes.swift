import CSystem
import Host
import SlaveCore
import System
import Wire

// What this node's processes do, and what this daemon keeps: asked for by the master.
extension SlaveDaemon {
    mutating func tellOfProcesses(number: UInt32) {
        var report = ProcessReport()
        for process in ranks.all where process.exit == nil {
            add(
                process.pid, parent: nil, of: process, isDescendant: false, to: &report,
                number: number)
            for descendant in family(of: process) {
                add(
                    descendant.process, parent: descendant.parent, of: process,
                    isDescendant: true, to: &report, number: number)
            }
        }
        sendControl(report.frame(number: number, isLast: true))
    }

    /// Adds what the kernel says of a process; a full report is sent.
    private mutating func add(
        _ pid: Int32, parent: Int32?, of rank: RankProcess, isDescendant: Bool,
        to report: inout ProcessReport, number: UInt32
    ) {
        guard let processes = host.programs.processesNumber else { return }
        var status = bp_process_status()
        // It may have ended meanwhile.
        guard unsafe bp_process_status(processes, pid, &status) == 0 else { return }
        report.entries.append(
            ProcessReport.Entry(
                launch: rank.launch, rank: rank.rank, isDescendant: isDescendant,
                localProcess: pid, localParent: parent ?? status.parent, user: status.user,
                state: UInt8(truncatingIfNeeded: status.state),
                userMicroseconds: status.user_microseconds,
                systemMicroseconds: status.system_microseconds,
                elapsedMicroseconds: status.elapsed_microseconds,
                residentByteCount: status.resident_bytes, command: Self.command(of: status)))
        guard report.entries.count == ProcessReport.entryLimit else { return }
        sendControl(report.frame(number: number, isLast: false))
        report.entries.removeAll()
    }

    private static func command(of status: bp_process_status) -> String {
        var text = status.command
        return unsafe withUnsafeBytes(of: &text) { bytes in
            unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
    }

    // MARK: Book-keeping

    mutating func tellOfBook(number: UInt32) {
        let own: [(name: String, count: Int)] = [
            ("rank processes", ranks.count),
            ("jobs with sessions", sessions.count),
            ("descriptors being set up", setUps.count),
            ("programs that wait for others", waits.count),
            ("processes that come to their ghosts", arrivals.count),
            ("images", host.store.images.count),
            ("images of programs here", host.store.ownImages.count),
            ("programs that wait for the table of nodes", nodesWaiters.count),
            ("jobs of programs here", host.programs.all.count { $0.hasJob }),
        ]
        let lines = host.store.state.book + own + host.book
        let text = lines.reduce(into: "") { $0 += "\($1.name): \($1.count)\n" }
        sendControl(
            FrameHeader.frame(FrameHeader(.book, subject: number), body: Array(text.utf8)))
    }
}
