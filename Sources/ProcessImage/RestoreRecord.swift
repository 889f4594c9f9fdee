import CRestore
import System

/// What a process that is being restored says about itself, once, on its status descriptor.
///
/// One write of `byteCount` bytes: several ranks may share one pipe, since a pipe keeps writes of
/// this size whole.
public struct RestoreRecord: Equatable, Sendable {
    public static let byteCount = MemoryLayout<bp_restore_record>.size

    public let rank: UInt32
    /// The number that the plan gave the process; only a placed one repeats it.
    public let processNumber: UInt32?
    /// nil: placed, that is mapped, checked and about to enter the program.
    public let failure: RestoreFailure?
    /// CLOCK_MONOTONIC of the node, in nanoseconds.
    public let monotonicNanoseconds: UInt64

    /// nil if these are not the bytes of a record.
    public init?(_ bytes: borrowing RawSpan) {
        guard bytes.byteCount >= Self.byteCount else { return nil }
        let raw = unsafe bytes.unsafeLoadUnaligned(as: bp_restore_record.self)
        guard raw.magic == BP_RECORD_MAGIC else { return nil }
        rank = raw.rank
        processNumber =
            raw.step == UInt16(BP_STEP_PLACED.rawValue)
            ? UInt32(truncatingIfNeeded: raw.detail) : nil
        monotonicNanoseconds = raw.monotonic_nanoseconds
        failure =
            raw.step == UInt16(BP_STEP_PLACED.rawValue)
            ? nil
            : RestoreFailure(
                stage: UInt32(raw.stage), step: UInt32(raw.step), errorNumber: raw.error,
                detail: raw.detail)
    }
}

/// Why a rank did not start: in which stage, at which step, with what error number.
public struct RestoreFailure: Error, Equatable, Sendable, CustomStringConvertible {
    /// As in bproc_local.h: 3 header, 5 spawn, 6 restore, 7 I/O.
    public let stage: UInt32
    /// As in bp_image.h (bp_restore_step).
    public let step: UInt32
    public let errorNumber: Int32
    /// The address, descriptor or value that the step was about.
    public let detail: UInt64

    public init(stage: UInt32, step: UInt32, errorNumber: Int32, detail: UInt64 = 0) {
        self.stage = stage
        self.step = step
        self.errorNumber = errorNumber
        self.detail = detail
    }

    public var description: String {
        "\(sentence): \(SystemCallError.message(for: errorNumber))"
    }

    private var sentence: String {
        switch bp_restore_step(rawValue: step) {
        case BP_STEP_ARGUMENTS: "the restorer does not understand its arguments"
        case BP_STEP_CREDENTIALS: "user, group or groups could not be set"
        case BP_STEP_READ_HEADER: "the image could not be read"
        case BP_STEP_CHECK_HEADER: "this is not the image that was announced"
        case BP_STEP_SIZE: "the image file is shorter than the image"
        case BP_STEP_MAP_STUB: "the restore code could not be mapped at \(hex(detail))"
        case BP_STEP_OPEN_ITEM: "the file for descriptor \(detail) could not be opened"
        case BP_STEP_SOCKET_ITEM: "the socket for descriptor \(detail) could not be connected"
        case BP_STEP_MOVE_DESCRIPTOR: "descriptor \(detail) could not be freed"
        case BP_STEP_CPU: "the CPU lacks \(missingFeature)"
        case BP_STEP_EMBEDDED_FILE: "the script could not be given as descriptor \(detail)"
        case BP_STEP_SCRIPT_NEEDS_PROC:
            "a script needs /proc on the node to be opened as /proc/self/fd/\(detail)"
        case BP_STEP_UNMAP: "the address space could not be cleared"
        case BP_STEP_VDSO: "the vDSO could not be put at \(hex(detail))"
        case BP_STEP_MAP_REGION, BP_STEP_MAP_RUN: "memory at \(hex(detail)) could not be mapped"
        case BP_STEP_MEMORY_MAP: "brk could not be set to \(hex(detail))"
        case BP_STEP_THREAD_STATE: "the thread pointer could not be set to \(hex(detail))"
        case BP_STEP_SIGNALS: "the action of signal \(detail) could not be set"
        case BP_STEP_PRIORITY: "the nice value could not be set"
        case BP_STEP_IMAGE_FILE: "the image file could not be opened"
        case BP_STEP_WORKING_DIRECTORY: "the working directory could not be entered"
        case BP_STEP_LIMITS: "a resource limit could not be set"
        case BP_STEP_SESSION: "a new session could not be started"
        case BP_STEP_DESCRIPTORS: "the standard descriptors could not be placed"
        case BP_STEP_CLONE: "no process could be made"
        case BP_STEP_EXECUTE: "the restorer could not be executed"
        default: "step \(step) failed"
        }
    }

    /// The detail of a CPU refusal is the word in the upper half, the missing bits in the lower.
    private var missingFeature: String {
        var missing = CPUFeatures.none
        missing[Int(detail >> 32) & 7] = UInt32(truncatingIfNeeded: detail)
        return missing.names.joined(separator: ", ")
    }
}
