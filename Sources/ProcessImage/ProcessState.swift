import CRestore
import CSystem
import System

/// What the kernel knows of a process beside its memory.
struct ProcessState {
    let registers: bp_registers
    let frame: SignalFrame
    let auxiliaryVector: [UInt8]
    let lines: [MapLine]
    let vdso: [UInt8]
    let signals: [bp_image_signal]
    let stat: [UInt64]
    let brk: UInt64
    let threadIDAddress: UInt64
    let robustList: (address: UInt64, byteCount: UInt64)
    let restartableSequence: bp_rseq
    let files: ProcFiles

    private enum SystemCall {
        static let sigaction: UInt64 = 13
        static let brk: UInt64 = 12
        static let sigaltstack: UInt64 = 131
        static let prctl: UInt64 = 157
    }

    init(of program: borrowing TracedProgram) throws(CaptureError) {
        let files = ProcFiles(pid: program.pid)
        self.files = files
        let registers = try program.registers()
        self.registers = registers
        let status = try files.bytes("status")
        guard files.statusValue("Threads", in: status) == "1" else {
            throw .notSingleThreaded(command: program.command)
        }
        auxiliaryVector = try files.bytes("auxv")
        stat = try files.statFields()
        lines = try MapLine.all(of: files)
        robustList = program.robustList()
        restartableSequence = program.restartableSequence()
        let mask = try program.signalMask()
        let float = try program.floatRegisters()
        vdso =
            if let line = lines.first(where: \.isVdso) {
                try program.memory.bytes(line.start, count: Int(line.byteCount))
            } else { [] }
        // What only the program itself can ask. Answers go below its stack pointer, where nothing
        // lives.
        let gadget = try Self.systemCallInstruction(vdso, lines)
        let answer = (registers.rsp - 512) & ~15
        let caller = Caller(gadget: gadget, registers: registers, answer: answer)
        brk = UInt64(bitPattern: try caller.call(program, SystemCall.brk, 0))
        threadIDAddress =
            try caller.call(program, SystemCall.prctl, 40 /* PR_GET_TID_ADDRESS */, answer) == 0
            ? try caller.word(program, 0) : 0
        var alternate = (address: UInt64(0), flags: UInt32(2), byteCount: UInt64(0))
        if try caller.call(program, SystemCall.sigaltstack, 0, answer) == 0 {
            let flags = UInt32(truncatingIfNeeded: try caller.word(program, 1))
            alternate = (try caller.word(program, 0), flags & ~1, try caller.word(program, 2))
        }
        let hex = { (name: String) in
            UInt64(files.statusValue(name, in: status) ?? "0", radix: 16) ?? 0
        }
        signals = try Self.signals(ignored: hex("SigIgn"), caught: hex("SigCgt"), caller, program)
        frame = SignalFrame(
            registers: registers, floatRegisters: float, signalMask: mask,
            alternateStack: alternate)
    }

    /// Calls made by the stopped program, and the place for their answers.
    private struct Caller {
        let gadget: UInt64
        let registers: bp_registers
        let answer: UInt64

        func call(
            _ program: borrowing TracedProgram, _ number: UInt64, _ first: UInt64,
            _ second: UInt64 = 0, _ third: UInt64 = 0, _ fourth: UInt64 = 0
        ) throws(CaptureError) -> Int64 {
            try program.call(
                number, first, second, third, fourth, at: gadget, from: registers)
        }

        /// The n-th 64-bit word of the last answer.
        func word(_ program: borrowing TracedProgram, _ index: Int) throws(CaptureError) -> UInt64 {
            try program.memory.word(answer + 8 * UInt64(index))
        }
    }

    /// Where the two bytes of a `syscall` instruction lie in the vDSO: its functions fall back to
    /// one. A kernel that was told to have no vDSO is refused.
    private static func systemCallInstruction(
        _ vdso: [UInt8], _ lines: [MapLine]
    ) throws(CaptureError) -> UInt64 {
        if let line = lines.first(where: \.isVdso) {
            for offset in 0..<max(0, vdso.count - 1)
            where vdso[offset] == 0x0f && vdso[offset + 1] == 0x05 {
                return line.start + UInt64(offset)
            }
        }
        throw .system(SystemCallError("find a system call instruction in the vDSO", errorNumber: 8))
    }

    /// Handlers can exist already: constructors of libraries run before the entry point.
    private static func signals(
        ignored: UInt64, caught: UInt64, _ caller: Caller, _ program: borrowing TracedProgram
    ) throws(CaptureError) -> [bp_image_signal] {
        var signals: [bp_image_signal] = []
        for number in 1...64 where (ignored | caught) & (1 << UInt64(number - 1)) != 0 {
            var signal = bp_image_signal()
            signal.number = UInt32(number)
            signal.handler = 1  // SIG_IGN
            if caught & (1 << UInt64(number - 1)) != 0 {
                _ = try caller.call(
                    program, SystemCall.sigaction, UInt64(number), 0, caller.answer, 8)
                signal.handler = try caller.word(program, 0)
                signal.flags = try caller.word(program, 1)
                signal.restorer = try caller.word(program, 2)
                signal.mask = try caller.word(program, 3)
            }
            signals.append(signal)
        }
        return signals
    }

    /// The value of an entry of the auxiliary vector.
    func auxiliary(_ key: UInt64) -> UInt64? {
        Self.auxiliary(key, in: auxiliaryVector)
    }

    static func auxiliary(_ key: UInt64, in vector: [UInt8]) -> UInt64? {
        let word = { (at: Int) in
            (0..<8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64(vector[at + $1]) }
        }
        for offset in stride(from: 0, to: vector.count & ~15, by: 16) where word(offset) == key {
            return word(offset + 8)
        }
        return nil
    }
}
