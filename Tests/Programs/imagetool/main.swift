// Captures, restores and measures images by hand, and for the tests that need a process of their
// own (another root directory, another user).
//
//   imagetool capture [--exec] [--no-debug-registers] [--no-page-scan] [--level NAME]
//                     IMAGE COMMAND [ARGUMENT...]
//   imagetool restore [--chroot DIR] [--user UID] [--rank N] [--socket PATH] [--nice N]
//                     [--file FD:FLAGS:PATH] [--times N] IMAGE
//   imagetool exec [--chroot DIR] [--user UID] [--by-descriptor yes] [--by-link yes] IMAGE
//                     [ARGUMENT...]   run an image as a program
//   imagetool measure PROGRAM [TIMES]
//   imagetool --helper=capture --socket=N
//
// capture takes --block SIGNAL and --ignore SIGNAL: what the program shall inherit.
import Glibc
import ProcessImage
import System

/// One line on descriptor 2.
func say(_ line: String) {
    let bytes = Array((line + "\n").utf8)
    _ = write(2, bytes, bytes.count)
}

func fail(_ message: String, status: Int32 = 125) -> Never {
    say("imagetool: \(message)")
    exit(status)
}

func environment() -> [[UInt8]] {
    var strings: [[UInt8]] = []
    var at = environ
    while let string = at.pointee {
        strings.append(
            Array(UnsafeBufferPointer(start: string, count: strlen(string))).map {
                UInt8(bitPattern: $0)
            })
        at += 1
    }
    return strings
}

/// A read-only mapping of a whole file, kept for the life of this program.
func map(_ descriptor: Int32) -> UnsafeRawBufferPointer {
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_size > 0 else { fail("empty image") }
    guard let base = mmap(nil, Int(status.st_size), PROT_READ, MAP_PRIVATE, descriptor, 0),
        base != MAP_FAILED
    else { fail("cannot map image") }
    return UnsafeRawBufferPointer(start: base, count: Int(status.st_size))
}

func capture(_ arguments: [String]) throws {
    var rest = arguments[...]
    var point = CapturePoint.entry
    var means = CaptureMeans()
    var level: CPULevel?
    while let option = rest.first, option.hasPrefix("--") {
        rest.removeFirst()
        switch option {
        case "--exec": point = .exec
        case "--no-debug-registers": means.usesDebugRegisters = false
        case "--no-page-scan": means.usesPageScan = false
        case "--level":
            level = CPULevel(rawValue: rest.removeFirst())
            if level == nil { fail("unknown level") }
        case "--block":
            var set = sigset_t()
            sigemptyset(&set)
            sigaddset(&set, Int32(rest.removeFirst()) ?? 0)
            sigprocmask(SIG_BLOCK, &set, nil)
        case "--ignore": signal(Int32(rest.removeFirst()) ?? 0, SIG_IGN)
        default: fail("unknown option \(option)")
        }
    }
    guard rest.count >= 2, let path = rest.popFirst(), let command = rest.first else {
        fail("capture: IMAGE COMMAND")
    }
    do {
        let image = try ProgramCapture.image(
            command: command, arguments: rest.map { Array($0.utf8) }, environment: environment(),
            at: point, level: level, means: means)
        let bytes = map(image.descriptor.number)
        unlink(path)
        let file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o755)
        guard file >= 0, write(file, bytes.baseAddress, bytes.count) == bytes.count else {
            fail("cannot write \(path)")
        }
        close(file)
        let milliseconds = Double(image.nanoseconds) / 1e6
        say(
            "captured \(image.byteCount) bytes, prefix \(image.prefixByteCount), "
                + "\(milliseconds) ms")
    } catch {
        fail("\(error) (errno \(error.errorNumber))", status: 124)
    }
}

struct Status {
    var record: RestoreRecord?
    var waited: Int32 = 0
}

/// Makes one process and waits for its record and its end.
func run(
    _ plan: RestorePlan, restorer: borrowing OwnedDescriptor, waiting: Bool = true
) throws -> Status {
    var ends: [Int32] = [0, 0]
    guard pipe(&ends) == 0 else { fail("pipe") }
    var plan = plan
    plan.status = ends[1]
    let child: ChildProcess
    do {
        child = try plan.spawn(restorer: restorer)
    } catch {
        if waitpid(-1, nil, WNOHANG) >= 0 || errno != ECHILD { say("imagetool: left a child") }
        throw error
    }
    close(ends[1])
    var bytes = [UInt8](repeating: 0, count: RestoreRecord.byteCount)
    let count = read(ends[0], &bytes, bytes.count)
    close(ends[0])
    var status = Status()
    if count == bytes.count { status.record = RestoreRecord(bytes.span.bytes) }
    if !waiting {
        print(child.identifier)
        exit(0)
    }
    status.waited = try child.wait()
    return status
}

func check(_ bytes: UnsafeRawBufferPointer) -> ImageHeader {
    let span = bytes.bytes
    do {
        let header = try ImageHeader.parse(prefix: span)
        try header.verify(image: span)
        return header
    } catch {
        fail("\(error)", status: 123)
    }
}

func restore(_ arguments: [String]) throws {
    var root: String?
    var times = 1
    var isAbandoned = false
    var rest = arguments[...]
    var plan = RestorePlan(rank: 0, image: .descriptor(-1))
    plan.standardInput = 0
    plan.standardOutput = 1
    plan.standardError = 2
    while let option = rest.first, option.hasPrefix("--") {
        guard rest.count >= 2 else { fail("\(option) needs a value") }
        let value = rest[rest.startIndex + 1]
        rest = rest.dropFirst(2)
        switch option {
        case "--chroot": root = value
        case "--times": times = Int(value) ?? 1
        case "--rank": plan.rank = UInt32(value) ?? 0
        case "--socket": plan.socketPath = value
        case "--nice": plan.nice = Int32(value)
        case "--number": plan.processNumber = UInt32(value) ?? 0
        case "--directory":
            plan.directory = Array(value.utf8)
            plan.fallsBackToRootDirectory = false
        case "--limit":
            plan.limits = [.init(resource: Int32(value) ?? 0, soft: 0, hard: 0)]
        case "--abandon":
            plan.deathSignal = 9
            plan.standardOutput = nil
            plan.standardError = nil
            isAbandoned = true
        case "--user":
            let user = UInt32(value) ?? 65534
            plan.credentials = .init(user: user, group: user, groups: [user])
        case "--file":
            let parts = value.split(separator: ":", maxSplits: 2)
            plan.items.append(
                .file(
                    descriptor: Int32(parts[0])!, flags: Int32(parts[1])!, mode: 0o644, offset: 0,
                    path: Array(parts[2].utf8)))
        case "--socket-item":
            let parts = value.split(separator: ":")
            plan.items.append(
                .socket(
                    descriptor: Int32(parts[0])!, address: [127, 0, 0, 1], port: UInt16(parts[1])!,
                    sendsInfo: true))
        default: fail("unknown option \(option)")
        }
    }
    guard let path = rest.first else { fail("restore: IMAGE") }
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { fail("cannot open \(path)") }
    let bytes = map(file)
    let header = check(bytes)
    let missing = header.missingFeatures(on: .local)
    guard missing.isEmpty else { fail("CPU lacks \(missing)", status: 123) }
    let restorer = try Restorer.makeFile()
    if let root, chroot(root) != 0 || chdir("/") != 0 { fail("chroot \(root)") }
    plan.image = .descriptor(file)
    var last = Status()
    for _ in 0..<times {
        last = try run(plan, restorer: restorer, waiting: !isAbandoned)
        if let failure = last.record?.failure { fail("\(failure)", status: 122) }
        if last.record == nil { fail("no record, status \(last.waited)", status: 121) }
        if times > 1 && last.waited != 0 { break }
    }
    if last.waited & 0x7f != 0 { exit(128 + last.waited & 0x7f) }
    exit(last.waited >> 8)
}

/// Runs an image as the program that it is.
func execute(_ arguments: [String]) throws {
    var rest = arguments[...]
    var user: UInt32?
    var descriptor: Int32 = -1
    while let option = rest.first, option.hasPrefix("--") {
        guard rest.count >= 2 else { fail("\(option) needs a value") }
        let value = rest[rest.startIndex + 1]
        rest = rest.dropFirst(2)
        switch option {
        case "--chroot":
            guard chroot(value) == 0, chdir("/") == 0 else { fail("chroot \(value)") }
        case "--user": user = UInt32(value)
        case "--by-descriptor", "--by-link":
            // Opened before the root changes. A link ends with the exec, a descriptor does not.
            let isLink = option == "--by-link"
            descriptor = open(rest.last ?? "", O_RDONLY | (isLink ? O_CLOEXEC : 0))
            if isLink { rest = ["/proc/self/fd/\(descriptor)"] }
            if isLink { descriptor = -1 }
        default: fail("unknown option \(option)")
        }
    }
    if let user {
        guard setgroups(0, nil) == 0, setgid(user) == 0, setuid(user) == 0 else { fail("setuid") }
    }
    guard let path = rest.first else { fail("exec: IMAGE") }
    var list = rest.map { strdup($0) } + [nil]
    if descriptor >= 0 { fexecve(descriptor, &list, environ) }
    execv(path, &list)
    fail("exec \(path): \(String(cString: strerror(errno)))")
}

func median(_ values: [Double]) -> (Double, Double, Double) {
    let sorted = values.sorted()
    return (sorted[sorted.count / 10], sorted[sorted.count / 2], sorted[sorted.count * 99 / 100])
}

func now() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

func measure(_ arguments: [String]) throws {
    guard let program = arguments.first else { fail("measure: PROGRAM") }
    let times = arguments.count > 1 ? Int(arguments[1]) ?? 100 : 100
    var captures: [Double] = []
    for _ in 0..<min(times, 50) {
        let image = try ProgramCapture.image(
            command: program, arguments: [Array(program.utf8)], environment: environment())
        captures.append(Double(image.nanoseconds) / 1e6)
    }
    let image = try ProgramCapture.image(
        command: program, arguments: [Array(program.utf8)], environment: environment())
    let restorer = try Restorer.makeFile()
    var spawns: [Double] = []
    var places: [Double] = []
    let null = open("/dev/null", O_RDWR)
    for _ in 0..<times {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { fail("pipe") }
        var plan = RestorePlan(rank: 0, image: .descriptor(image.descriptor.number))
        plan.standardInput = null
        plan.standardOutput = null
        plan.standardError = null
        plan.status = ends[1]
        let start = now()
        let child = try plan.spawn(restorer: restorer)
        spawns.append(Double(now() - start) / 1e3)
        close(ends[1])
        var bytes = [UInt8](repeating: 0, count: RestoreRecord.byteCount)
        let count = read(ends[0], &bytes, bytes.count)
        close(ends[0])
        guard count == bytes.count, let record = RestoreRecord(bytes.span.bytes),
            record.failure == nil
        else { fail("not placed") }
        places.append(Double(record.monotonicNanoseconds - start) / 1e3)
        _ = try child.wait()
    }
    print("image \(image.byteCount) bytes, prefix \(image.prefixByteCount)")
    print("capture ms: p10, median, p99 \(median(captures)) of \(captures.count)")
    print("spawn call us: \(median(spawns)); to placed us: \(median(places)) of \(times)")
}

let arguments = Array(CommandLine.arguments.dropFirst())
do {
    switch arguments.first {
    case "capture": try capture(Array(arguments.dropFirst()))
    case "restore": try restore(Array(arguments.dropFirst()))
    case "exec": try execute(Array(arguments.dropFirst()))
    case "--helper=capture":
        let number = arguments.last.flatMap { Int32($0.dropFirst("--socket=".count)) }
        exit(CaptureHelper.run(socket: number ?? -1))
    case "measure": try measure(Array(arguments.dropFirst()))
    default: fail("capture, restore or measure")
    }
} catch {
    fail("\(error)", status: 122)
}
