import CRestore
import System

/// What an image is taken of, as far as the kernel does not tell it.
struct ImageSubject {
    /// The process name.
    let name: String
    var embeddedFiles: [Command.EmbeddedFile] = []
    /// The dynamic linker or the program itself has run here.
    let hasStarted: Bool
    /// What its code was chosen by here and does not need there.
    var hiddenFeatures = CPUFeatures.none
    var means = CaptureMeans()
}

/// The part of the initial stack that has content, and where the signal frame goes: below it.
struct UsedStack {
    let start: UInt64
    let end: UInt64
    let frameAddress: UInt64

    /// Content begins at the stack pointer.
    init(plan: MemoryPlan, stackPointer: UInt64) throws(CaptureError) {
        guard let stack = plan.stack, (stack.start..<stack.end).contains(stackPointer) else {
            throw .system(SystemCallError("find the stack", errorNumber: 14))
        }
        end = stack.end
        start = (stackPointer - SignalFrame.redZone) & ~63
        frameAddress = SignalFrame.address(below: stackPointer)
        guard start >= stack.start, frameAddress >= stack.start else {
            throw .system(SystemCallError("find room below the stack", errorNumber: 12))
        }
    }
}
