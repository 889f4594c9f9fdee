import CSystem
import System

/// A program under trace: stopped whenever this code runs, and killed when the owner lets go of it.
struct TracedProgram: ~Copyable {
    let pid: Int32
    let command: String

    /// Starts the program in this process's context, stopped before its first instruction.
    static func start(
        path: String, command: String, arguments: [[UInt8]], environment: [[UInt8]]
    ) throws(CaptureError) -> TracedProgram {
        let argumentArray = CStringArray(arguments)
        let environmentArray = CStringArray(environment)
        let result = unsafe argumentArray.withPointers { argv in
            unsafe environmentArray.withPointers { envp in
                unsafe bp_trace_start(path, argv, envp)
            }
        }
        guard result > 0 else {
            throw .cannotExecute(command: command, errorNumber: Int32(truncatingIfNeeded: -result))
        }
        let program = TracedProgram(pid: Int32(truncatingIfNeeded: result), command: command)
        let event = try program.waitForStop()
        guard event.stopped == trap else {
            throw .killedEarly(command: command, signal: event.stopped)
        }
        _ = try require("set trace options", bp_trace_set_options(program.pid))
        return program
    }

    private init(pid: Int32, command: String) {
        self.pid = pid
        self.command = command
    }

    deinit { bp_trace_kill(pid) }

    private static let trap: Int32 = 5

    /// Waits for the next stop; an end is an error.
    private borrowing func waitForStop() throws(CaptureError) -> bp_trace_event {
        var event = bp_trace_event()
        _ = try require("wait for \(command)", unsafe bp_trace_wait(pid, &event))
        if event.exited != 0 { throw .endedEarly(command: command, status: event.status) }
        if event.killed != 0 { throw .killedEarly(command: command, signal: event.killed) }
        return event
    }

    borrowing func registers() throws(CaptureError) -> bp_registers {
        var registers = bp_registers()
        _ = try require("read registers", unsafe bp_trace_registers(pid, &registers))
        return registers
    }

    /// The x87 and SSE state, 512 bytes.
    borrowing func floatRegisters() throws(CaptureError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 512)
        _ = try require("read vector registers", unsafe bp_trace_float_registers(pid, &bytes))
        return bytes
    }

    borrowing func signalMask() throws(CaptureError) -> UInt64 {
        var mask: UInt64 = 0
        _ = try require("read signal mask", unsafe bp_trace_signal_mask(pid, &mask))
        return mask
    }

    /// The registered restartable-sequence area, if any.
    borrowing func restartableSequence() -> bp_rseq {
        var area = bp_rseq()
        // A kernel without the call has none to tell of.
        _ = unsafe bp_trace_rseq(pid, &area)
        return area
    }

    borrowing func robustList() -> (address: UInt64, byteCount: UInt64) {
        var address: UInt64 = 0
        var byteCount: UInt64 = 0
        _ = unsafe bp_trace_robust_list(pid, &address, &byteCount)
        return (address, byteCount)
    }

    /// Runs the program until it is about to execute the instruction at an address.
    borrowing func run(
        to address: UInt64, usingDebugRegisters: Bool
    ) throws(CaptureError) {
        if usingDebugRegisters, bp_trace_breakpoint(pid, address) >= 0 {
            try runToTrap { $0.rip == address }
            return
        }
        // No debug registers to be had: an int3 in the place of the first byte.
        var word: UInt64 = 0
        _ = try require("read entry point", unsafe bp_trace_peek(pid, address, &word))
        _ = try require(
            "set breakpoint", bp_trace_poke(pid, address, (word & ~0xff) | 0xcc))
        try runToTrap { $0.rip == address + 1 }
        _ = try require("remove breakpoint", bp_trace_poke(pid, address, word))
        var registers = try registers()
        registers.rip = address
        _ = try require("set registers", unsafe bp_trace_set_registers(pid, &registers))
    }

    private borrowing func runToTrap(
        _ isThere: (bp_registers) -> Bool
    ) throws(CaptureError) {
        var signal: Int32 = 0
        while true {
            _ = try require("continue \(command)", bp_trace_continue(pid, signal))
            let event = try waitForStop()
            // The options ask for fork, vfork and clone events only: exec cannot happen before the
            // entry.
            if event.event != 0 {
                // The new one is under trace as well; with its leader killed it can only end.
                if event.other > 0 {
                    _ = bp_trace_send_kill(pid)
                    bp_trace_kill(event.other)
                }
                throw .notSingleThreaded(command: command)
            }
            if event.stopped == Self.trap, isThere(try registers()) { return }
            signal = event.stopped == Self.trap ? 0 : event.stopped
        }
    }

    /// Writes over memory of the program, protected or not.
    borrowing func write(_ bytes: [UInt8], at address: UInt64) throws(CaptureError) {
        var done = 0
        while done < bytes.count {
            let place = address + UInt64(done)
            let word = place & ~7
            let skipped = Int(place - word)
            let count = min(8 - skipped, bytes.count - done)
            var value: UInt64 = 0
            _ = try require("read word", unsafe bp_trace_peek(pid, word, &value))
            for index in 0..<count {
                let shift = UInt64(8 * (skipped + index))
                value = value & ~(0xff << shift) | UInt64(bytes[done + index]) << shift
            }
            _ = try require("write word", bp_trace_poke(pid, word, value))
            done += count
        }
    }

    /// Makes the program do one system call, at a `syscall` instruction that exists somewhere in it
    /// (the vDSO has some), so that no page of it is changed. Its registers are not put back.
    borrowing func call(
        _ number: UInt64, _ first: UInt64 = 0, _ second: UInt64 = 0, _ third: UInt64 = 0,
        _ fourth: UInt64 = 0, at instruction: UInt64, from registers: bp_registers
    ) throws(CaptureError) -> Int64 {
        var call = registers
        call.rip = instruction
        call.rax = number
        call.orig_rax = UInt64.max  // no restart of an earlier call
        call.rdi = first
        call.rsi = second
        call.rdx = third
        call.r10 = fourth
        call.eflags &= ~0x100
        _ = try require("set registers", unsafe bp_trace_set_registers(pid, &call))
        while true {
            _ = try require("step \(command)", bp_trace_step(pid))
            let event = try waitForStop()
            if event.stopped == Self.trap { break }
        }
        return Int64(bitPattern: try self.registers().rax)
    }

    var memory: ProcessMemory { ProcessMemory(pid: pid) }
}
