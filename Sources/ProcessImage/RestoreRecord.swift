import CRestore
import System

/// What a process that is being restored says about itself, once, on its status descriptor.
///
/// One write of `byteCount` bytes. The code that writes it travels inside the image and is the
/// user's: a daemon believes it only about the process whose own channel it came through.
public struct RestoreRecord: Equatable, Sendable {
    public static let byteCount = MemoryLayout<bp_restore_record>.size

    public let rank: UInt32
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

    /// The pid that the process was to have is another's.
    public var isTakenPid: Bool {
        step == BP_STEP_CLONE.rawValue && errorNumber == 17  // EEXIST
    }

    public var description: String {
        if isTakenPid { return "the pid that it has on the front end is taken" }
        return "\(sentence): \(SystemCallError.message(for: errorNumber))"
    }

    /// The restore code's own words, with the detail in its place.
    private var sentence: String {
        guard let text = unsafe bp_restore_sentence(step) else { return "step \(step) failed" }
        var sentence = ""
        for character in unsafe String(cString: text) {
            switch character {
            case "@": sentence += hex(detail)
            case "#": sentence += String(detail)
            case "%": sentence += missingFeature
            default: sentence.append(character)
            }
        }
        return sentence
    }

    /// The detail of a CPU refusal is the word in the upper half, the missing bits in the lower.
    private var missingFeature: String {
        var missing = CPUFeatures.none
        missing[Int(detail >> 32) & 7] = UInt32(truncatingIfNeeded: detail)
        return missing.names.joined(separator: ", ")
    }
}
