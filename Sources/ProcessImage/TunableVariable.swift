import CSystem

/// GLIBC_TUNABLES in the environment of a program that is captured for a CPU level: there while the
/// dynamic linker chooses, and gone, or as the user had it, when the program runs.
struct TunableVariable {
    private static let name = Array("GLIBC_TUNABLES=".utf8)
    private let level: CPULevel
    /// What the user has set, with the name.
    private let original: [UInt8]?

    init(level: CPULevel, environment: [[UInt8]]) {
        self.level = level
        original = environment.last { $0.starts(with: Self.name) }
    }

    private var string: [UInt8] {
        let own = Array("glibc.cpu.hwcaps=\(level.hardwareCapabilities)".utf8)
        guard let original, original.count > Self.name.count else { return Self.name + own }
        // Of two values for one tunable the last counts.
        return original + [UInt8(ascii: ":")] + own
    }

    /// The environment with the variable as its last.
    func added(to environment: [[UInt8]]) -> [[UInt8]] {
        environment.filter { !$0.starts(with: Self.name) } + [string]
    }

    /// Puts the stopped program's environment back: its strings, and the list of pointers to them.
    /// glibc may have changed the string, and let the pointer lead to a copy of its own.
    func remove(from program: borrowing TracedProgram) throws(CaptureError) {
        let memory = ProcessMemory(pid: program.pid)
        var place = try program.registers().rsp
        let argumentCount = try memory.word(place)
        place += 8 * (argumentCount + 2)
        var last: UInt64?
        while try memory.word(place) != 0 {
            last = place
            place += 8
        }
        let fields = try ProcFiles(pid: program.pid).statFields()
        let length = UInt64(string.count + 1)
        guard let last, fields.count > 51, fields[51] > length else { return }
        // proc(5): field 51 is the end of the environment, whose last string is this one.
        let start = fields[51] - length
        guard try memory.bytes(start, count: Self.name.count) == Self.name else { return }
        let rest = [UInt8](repeating: 0, count: string.count - (original?.count ?? 0))
        try program.write((original ?? []) + rest, at: start)
        var pointer = [UInt8](repeating: 0, count: 8)
        pointer.store(original == nil ? 0 : start, at: 0)
        try program.write(pointer, at: last)
    }
}
