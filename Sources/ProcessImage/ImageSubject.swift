import CRestore
import System

/// What an image is taken of, as far as the kernel does not tell it.
struct ImageSubject {
    /// The process name.
    let name: String
    var embeddedFiles: [Command.EmbeddedFile] = []
    let origin: bp_image_register_origin
    /// The dynamic linker or the program itself has run here.
    let hasStarted: Bool
    /// What its code was chosen by here and does not need there.
    var hiddenFeatures = CPUFeatures.none
    var means = CaptureMeans()
    /// Where the library of a waiting caller wants to be told its place.
    var placeAddress: UInt64 = 0
}

/// The part of the initial stack that has content, and where the signal frame goes: below it.
struct UsedStack {
    let start: UInt64
    let end: UInt64
    let frameAddress: UInt64

    /// Content begins at the stack pointer; for a caller that runs on another stack (a coroutine, a
    /// signal handler) at the lowest page that was ever used.
    init(plan: MemoryPlan, stackPointer: UInt64, files: ProcFiles) throws(CaptureError) {
        guard let stack = plan.stack else {
            throw .system(SystemCallError("find the stack", errorNumber: 14))
        }
        end = stack.end
        if (stack.start..<stack.end).contains(stackPointer) {
            start = (stackPointer - SignalFrame.redZone) & ~63
            frameAddress = SignalFrame.address(below: stackPointer)
        } else {
            let pages = try MemoryPages(of: files, usesScan: true)
            start = try pages.ranges(of: stack).first?.lowerBound ?? stack.end
            frameAddress = SignalFrame.address(below: start)
        }
        guard start >= stack.start, frameAddress >= stack.start else {
            throw .system(SystemCallError("find room below the stack", errorNumber: 12))
        }
    }
}
