import BProc
import CommandSupport
import FileCopy

/// A launch of this copy: its job, in a place where it can be kept.
final class RankChannel {
    private var job: Job
    let nodes: [Int32]
    private(set) var hasEnded = false
    /// Input that comes before reaches only the ranks that are placed by then.
    private var hasStarted = false

    init(_ job: consuming Job) {
        nodes = job.nodes
        self.job = job
    }

    /// Launches the other end of a copy on nodes.
    static func start(_ role: CopyRole, on nodes: [Int32]) throws(BProcError) -> RankChannel {
        let cluster = Cluster()
        let image = try cluster.capture(
            nodeProgram, arguments: role.arguments, environment: [])
        return RankChannel(try cluster.launch(image, command: "bpcp", on: nodes))
    }

    /// Beside this program, as it is built, or where it is installed.
    private static var nodeProgram: String {
        let own = OwnExecutable.directory
        let installed = "\(own)/../libexec/bproc/\(CopyRole.programName)"
        return (try? PathSearch.find(installed)) ?? "\(own)/\(CopyRole.programName)"
    }

    var descriptor: Int32 { job.descriptor }
    var pollEvents: Int16 { job.pollEvents }
    var inputRoom: Int { hasEnded || !hasStarted ? 0 : job.inputRoom }

    /// The next event; nil: none now. After the end there are no more.
    func next() throws(BProcError) -> JobEvent? {
        guard !hasEnded, let event = try job.next() else { return nil }
        switch event {
        case .started: hasStarted = true
        case .end: hasEnded = true
        default: break
        }
        return event
    }

    /// Writes to the standard input of all ranks.
    /// - Returns: how many bytes were taken.
    func write(_ bytes: ArraySlice<UInt8>) throws(BProcError) -> Int {
        do throws(BProcError) {
            return try job.write(bytes.span)
        } catch {
            guard error.code == .wouldBlock else { throw error }
            return 0
        }
    }

    func consumed(_ byteCount: Int, from stream: JobEvent.OutputStream, of rank: Int) {
        // A job that was lost says so by an event.
        try? job.consumed(byteCount, from: stream, of: rank)
    }
}
