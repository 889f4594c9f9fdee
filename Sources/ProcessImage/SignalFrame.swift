import CRestore
import CSystem

/// The kernel's signal frame for x86-64 (struct rt_sigframe, arch/x86/include/asm/sigframe.h):
/// registers, mask and alternate stack in one, taken back by one rt_sigreturn.
///
/// Only x87 and SSE state are in it. At a program's first instruction, as at any function call,
/// nothing lives in the wider registers, and without their part the frame suits every CPU.
struct SignalFrame {
    let registers: bp_registers
    let floatRegisters: [UInt8]
    let signalMask: UInt64
    let alternateStack: (address: UInt64, flags: UInt32, byteCount: UInt64)

    /// What a function may use below its stack pointer without moving it.
    static let redZone: UInt64 = 128

    /// Below the stack pointer and its red zone, 64-byte aligned.
    static func address(below stackPointer: UInt64) -> UInt64 {
        (stackPointer - redZone - UInt64(BP_IMAGE_FRAME)) & ~63
    }

    /// The bytes for a frame that will lie at an address.
    func bytes(at address: UInt64) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: Int(BP_IMAGE_FRAME))
        // uc_flags: the float state is there, and ss is meant as written.
        bytes.store(UInt64(1 | 2 | 4), at: 8)
        bytes.store(alternateStack.address, at: 24)
        bytes.store(alternateStack.flags, at: 32)
        bytes.store(alternateStack.byteCount, at: 40)
        // Without the single-step and resume flags of the stop.
        let flags = registers.eflags & ~0x1_0100
        let words = [
            registers.r8, registers.r9, registers.r10, registers.r11, registers.r12, registers.r13,
            registers.r14, registers.r15, registers.rdi, registers.rsi, registers.rbp,
            registers.rbx, registers.rdx, registers.rax, registers.rcx, registers.rsp,
            registers.rip, flags,
        ]
        for (index, word) in words.enumerated() { bytes.store(word, at: 48 + 8 * index) }
        bytes.store(UInt16(truncatingIfNeeded: registers.cs), at: 192)
        bytes.store(UInt16(truncatingIfNeeded: registers.ss), at: 198)
        let floatOffset = Int(BP_IMAGE_FRAME_FLOAT_OFFSET)
        bytes.store(address + UInt64(floatOffset), at: 232)
        bytes.store(signalMask, at: 304)
        bytes.replaceSubrange(floatOffset..<(floatOffset + 512), with: floatRegisters)
        // The 48 bytes that the kernel may use for its own magic: none of that here.
        for index in 464..<512 { bytes[floatOffset + index] = 0 }
        return bytes
    }
}
