import CRestore
import CSystem
public import System

/// Where a program is stopped.
public enum CapturePoint: Sendable {
    /// At its own entry point, after the dynamic linker has mapped and relocated all libraries: the
    /// node needs no files at all.
    case entry
    /// Right after exec: a dynamic program's linker then runs on the node and wants its files
    /// there.
    case exec
}

/// An image as it was taken: a sealed memory file.
public struct CapturedImage: ~Copyable {
    public let descriptor: OwnedDescriptor
    /// The whole file.
    public let byteCount: Int
    /// Header, stub and tables.
    public let prefixByteCount: Int
    /// From the call to the sealed file, the program's own start included.
    public let nanoseconds: UInt64

    init(
        descriptor: consuming OwnedDescriptor, byteCount: Int, prefixByteCount: Int,
        nanoseconds: UInt64
    ) {
        self.descriptor = descriptor
        self.byteCount = byteCount
        self.prefixByteCount = prefixByteCount
        self.nanoseconds = nanoseconds
    }

    /// Reads a process whose state is known. `start` is when the work for the image began.
    init(
        of subject: ImageSubject, in state: ProcessState, since start: UInt64
    ) throws(CaptureError) {
        var writer = try ImageWriter(subject: subject, state: state)
        let sizes = try writer.writeAll()
        self.init(
            descriptor: try writer.finish(), byteCount: sizes.total, prefixByteCount: sizes.prefix,
            nanoseconds: bp_capture_clock() - start)
    }

    /// An image that somebody else has taken, of whose content nothing is known.
    init(taken file: consuming OwnedDescriptor) throws(CaptureError) {
        let unchangeable = 0x2 | 0x4 | 0x8  // F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE
        let seals = bp_seals(file.number)
        let byteCount = bp_file_size(file.number)
        guard seals >= 0, seals & unchangeable == unchangeable, byteCount > 0 else {
            throw .system(SystemCallError("use a file as an image", errorNumber: 22))
        }
        self.init(descriptor: file, byteCount: byteCount, prefixByteCount: 0, nanoseconds: 0)
    }
}

/// Takes the image of a program that has not run yet, from outside.
///
/// The program is started in this process's own context (directory, limits, terminal) and never
/// gets to run its own code here: it is killed when it has been read.
public enum ProgramCapture {
    /// `command` is a path; it is not searched for. `arguments` start with the program's own name.
    /// Strings are bytes without their NUL.
    ///
    /// With a `level` the image needs no more of a CPU than that, as far as the C library chooses;
    /// a program that asks the CPU by itself while it starts may need more than its image says.
    public static func image(
        command: String, arguments: [[UInt8]], environment: [[UInt8]],
        at point: CapturePoint = .entry, level: CPULevel? = nil, means: CaptureMeans = .init()
    ) throws(CaptureError) -> CapturedImage {
        let start = bp_capture_clock()
        let resolved = try Command(command: command, arguments: arguments)
        let tunable = level.map { TunableVariable(level: $0, environment: environment) }
        let complete = SocketPlaceholder.added(to: environment)
        let program = try TracedProgram.start(
            path: resolved.path, command: command, arguments: resolved.arguments,
            environment: tunable?.added(to: complete) ?? complete)
        let started = try advance(program, to: point, means)
        try tunable?.remove(from: program)
        let state = try ProcessState(of: program)
        let subject = ImageSubject(
            name: resolved.name, embeddedFiles: resolved.embeddedFiles,
            hasStarted: started,
            hiddenFeatures: level?.hiddenFeatures ?? .none, means: means)
        return try CapturedImage(of: subject, in: state, since: start)
    }

    /// The same for text.
    public static func image(
        command: String, arguments: [String], environment: [String], at point: CapturePoint = .entry
    ) throws(CaptureError) -> CapturedImage {
        try image(
            command: command, arguments: arguments.map { Array($0.utf8) },
            environment: environment.map { Array($0.utf8) }, at: point)
    }

    /// Lets the dynamic linker do its work. Answers whether any of the program's code has run.
    private static func advance(
        _ program: borrowing TracedProgram, to point: CapturePoint, _ means: CaptureMeans
    ) throws(CaptureError) -> Bool {
        guard point == .entry else { return false }
        let vector = try ProcFiles(pid: program.pid).bytes("auxv")
        let base = ProcessState.auxiliary(7, in: vector)  // AT_BASE: of the linker, 0 without one
        guard let base, base != 0, let entry = ProcessState.auxiliary(9, in: vector) else {
            return false
        }
        try program.run(to: entry, usingDebugRegisters: means.usesDebugRegisters)
        return true
    }
}

/// The variable by which a restored program finds its node's daemon: reserved when the image is
/// taken, filled in or blanked when it is restored.
enum SocketPlaceholder {
    static let name = Array("BPROC_SOCKET=".utf8)

    static func added(to environment: [[UInt8]]) -> [[UInt8]] {
        let room = [UInt8](repeating: UInt8(ascii: "?"), count: Int(BP_IMAGE_SOCKET_CAPACITY))
        return environment.filter { !$0.starts(with: name) } + [name + room]
    }
}
