import ArgumentParser
import BProc
import CommandSupport
import Glibc

struct StatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Show the daemons and nodes of a cluster.",
        discussion: "The exit status is 0 when the master and all slaves run and all nodes are up.")

    @OptionGroup var place: DirectoryOption

    func run() throws {
        try ClusterCommand.reporting { () throws(CommandError) -> Int32 in
            let directory = place.directory
            let daemons = try directory.daemons()
            let slaves = daemons.filter { Int($0.name) != nil }
            let runningCount = slaves.count { $0.identity.isRunning }
            let master = daemons.first { $0.name == "master" }
            let masterRuns = master?.identity.isRunning ?? false
            StandardOutput.write(
                """
                directory  \(directory.path)
                socket     \(directory.socket)
                master     \(masterRuns ? "running, pid \(master!.identity.pid)" : "not running")
                slaves     \(runningCount) of \(slaves.count) running

                """)
            guard masterRuns else { return ExitStatus.failure }
            _ = unsafe setenv("BPROC_SOCKET", directory.socket, 1)
            do throws(BProcError) {
                let nodes = try Cluster().nodes()
                StandardOutput.write("\n" + NodeTable().compact(nodes))
                let allUp = nodes.allSatisfy { $0.state == "up" }
                return allUp && runningCount == slaves.count
                    ? ExitStatus.success : ExitStatus.failure
            } catch {
                throw CommandError("\(error)")
            }
        }
    }
}
