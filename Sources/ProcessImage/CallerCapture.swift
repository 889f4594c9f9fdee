import CLocalProtocol
import CRestore
import CSystem
import System

/// Takes the image of a process that has called the library and waits for it, from outside.
///
/// It is not under trace: its signals are blocked, it has one thread, and that one waits. What can
/// be seen only from inside it has said in a record.
enum CallerCapture {
    /// `files` are the caller's. Its scratch memory is left out of the image, and in the restored
    /// process the call that saved the registers returns again, with 1.
    static func image(
        of files: ProcFiles, _ caller: bproc_local_caller
    ) throws(CaptureError) -> CapturedImage {
        let start = bp_capture_clock()
        let name = try files.bytes("comm").prefix { $0 != UInt8(ascii: "\n") }
        let subject = ImageSubject(
            name: String(decoding: name, as: UTF8.self), origin: BP_IMAGE_ORIGIN_WAITING,
            hasStarted: true, placeAddress: caller.place_address)
        let state = try ProcessState(of: files, caller)
        return try CapturedImage(of: subject, in: state, since: start)
    }
}

extension ProcessState {
    /// The state of a waiting caller: its record, and what /proc says.
    init(of files: ProcFiles, _ caller: bproc_local_caller) throws(CaptureError) {
        guard files.statusValue("Threads", in: try files.bytes("status")) == "1" else {
            throw .callerHasThreads
        }
        self.files = files
        registers = Self.registers(of: caller)
        frame = SignalFrame(
            registers: registers, floatRegisters: Self.floatRegisters(of: caller),
            signalMask: caller.signal_mask,
            alternateStack: (
                caller.alternate_stack_address, caller.alternate_stack_flags & ~1,
                caller.alternate_stack_byte_count
            ))
        auxiliaryVector = try files.bytes("auxv")
        stat = try files.statFields()
        lines = try Self.lines(of: files, without: caller)
        vdso =
            if let line = lines.first(where: \.isVdso) {
                try ProcessMemory(pid: files.pid).bytes(line.start, count: Int(line.byteCount))
            } else { [] }
        signals = Self.signals(of: caller)
        brk = caller.brk
        threadIDAddress = caller.thread_id_address
        robustList = (caller.robust_list_address, caller.robust_list_byte_count)
        restartableSequence = bp_rseq(
            address: caller.rseq_address, byte_count: caller.rseq_byte_count,
            signature: caller.rseq_signature, flags: 0, pad: 0)
    }

    /// As after the return of a function: what it need not keep is of no account.
    private static func registers(of caller: bproc_local_caller) -> bp_registers {
        var registers = bp_registers()
        registers.rbx = caller.registers.rbx
        registers.rbp = caller.registers.rbp
        registers.r12 = caller.registers.r12
        registers.r13 = caller.registers.r13
        registers.r14 = caller.registers.r14
        registers.r15 = caller.registers.r15
        registers.rsp = caller.registers.rsp
        registers.rip = caller.registers.rip
        registers.rax = 1
        registers.eflags = 0x202
        registers.cs = 0x33  // __USER_CS
        registers.ss = 0x2b  // __USER_DS
        registers.fs_base = caller.fs_base
        registers.gs_base = caller.gs_base
        return registers
    }

    /// An fxsave area with empty registers and the caller's control words.
    private static func floatRegisters(of caller: bproc_local_caller) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 512)
        bytes.store(caller.registers.x87_control, at: 0)
        bytes.store(caller.registers.mxcsr, at: 24)
        return bytes
    }

    /// The maps without the scratch memory. The kernel may have merged that with a neighbour, so it
    /// is cut out of the lines.
    private static func lines(
        of files: ProcFiles, without caller: bproc_local_caller
    ) throws(CaptureError) -> [MapLine] {
        let (end, isTooLong) = caller.scratch_address.addingReportingOverflow(
            caller.scratch_byte_count)
        guard !isTooLong else {
            throw .system(SystemCallError("leave out the scratch memory", errorNumber: 22))
        }
        return try MapLine.all(of: files).flatMap {
            $0.without(caller.scratch_address..<end)
        }
    }

    private static func signals(of caller: bproc_local_caller) -> [bp_image_signal] {
        let size = MemoryLayout<bproc_local_action>.size
        return unsafe withUnsafeBytes(of: caller.actions) { actions in
            (0..<Int(BPROC_LOCAL_SIGNALS)).compactMap { index in
                let action = unsafe actions.loadUnaligned(
                    fromByteOffset: index * size, as: bproc_local_action.self)
                guard action.handler != 0 else { return nil }
                return bp_image_signal(
                    handler: action.handler, flags: action.flags, restorer: action.restorer,
                    mask: action.mask, number: UInt32(index + 1), reserved: 0)
            }
        }
    }
}

extension MapLine {
    /// What is left of the mapping without a range: itself, one or two pieces, or nothing.
    func without(_ range: Range<UInt64>) -> [MapLine] {
        guard range.overlaps(start..<end) else { return [self] }
        var below = self
        below.end = max(start, range.lowerBound)
        var above = self
        above.start = min(end, range.upperBound)
        return [below, above].filter { $0.end > $0.start }
    }
}
