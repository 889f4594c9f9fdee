import CBProc
import Glibc

/// What went wrong, for which node, at which step, and a sentence about it.
public struct BProcError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The kinds that a caller may want to tell apart; everything else is `failed`.
    public enum Code: Sendable {
        /// No daemon answers on this machine.
        case notRunning
        /// The daemon does not allow or understand the request.
        case refused
        /// The connection ended, or carried something that is no message.
        case connectionLost
        /// The node does not exist, is down, or died.
        case nodeUnavailable
        /// The ranks have not taken the input before; an `inputCredit` event says when to go on.
        case wouldBlock
        case failed
    }

    public let code: Code
    /// The node concerned, if it is one.
    public let node: Int32?
    /// The step of the start of a rank.
    public let stage: LaunchStage
    /// An error number of the kernel, or a `BE_` number; always positive.
    public let errorNumber: Int32
    /// One sentence without its full stop.
    public let sentence: String

    public init(
        errorNumber: Int32, sentence: String, node: Int32? = nil, stage: LaunchStage = .none
    ) {
        self.errorNumber = errorNumber
        self.sentence = sentence.isEmpty ? Self.message(for: errorNumber) : sentence
        self.node = node
        self.stage = stage
        code =
            switch errorNumber {
            case EBUSY, ENOSYS: .notRunning
            case EPERM, EACCES: .refused
            case ECONNRESET, EPROTO, ETIMEDOUT: .connectionLost
            case BE_INVALIDNODE, BE_NODEDOWN, BE_SLAVEDIED: .nodeUnavailable
            case EAGAIN: .wouldBlock
            default: .failed
            }
    }

    /// The failure of the library call that has just answered -1.
    static func last(node: Int32? = nil) -> BProcError {
        let number = errno
        return unsafe BProcError(
            errorNumber: number, sentence: String(cString: bproc_reason()), node: node)
    }

    /// The sentence for an error number, BProc's own included.
    public static func message(for errorNumber: Int32) -> String {
        unsafe String(cString: bproc_strerror(errorNumber))
    }

    public var description: String {
        guard let node else { return sentence }
        return stage == .none ? "node \(node): \(sentence)" : "node \(node): \(stage): \(sentence)"
    }
}

/// The steps between the call and a running rank, in their order.
public enum LaunchStage: Int32, Sendable, CustomStringConvertible {
    case none = 0
    /// The node does not exist, is down, or may not be used.
    case plan = 1
    /// Its parent in the tree could not reach it.
    case connect = 2
    /// It refused the image: processor, version, memory.
    case header = 3
    /// The image did not arrive whole.
    case receive = 4
    /// Credentials, directory, start of the restorer.
    case spawn = 5
    /// Mapping of the image.
    case restore = 6
    /// Descriptors of the I/O set-up.
    case io = 7
    /// The node died or stalled before it answered.
    case node = 8

    public var description: String { unsafe String(cString: bproc_stage_name(rawValue)) }
}
