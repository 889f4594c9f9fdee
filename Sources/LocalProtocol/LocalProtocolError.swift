import CLocalProtocol

/// What a local program did wrong.
package enum LocalProtocolError: Error, CustomStringConvertible {
    case badMagic
    case versionMismatch(theirs: UInt16)
    case tooLarge(byteCount: UInt32)
    case tooSmall(String)
    case invalid(String)
    case notPermitted(String)

    package var description: String {
        switch self {
        case .badMagic: "this is not the bproc local protocol"
        case .versionMismatch(let theirs):
            "the library speaks local protocol \(theirs), the daemon \(BPROC_LOCAL_VERSION)"
        case .tooLarge(let byteCount):
            "a message of \(byteCount) bytes, at most \(BPROC_LOCAL_BODY_MAX) are allowed"
        case .tooSmall(let what): "\(what) is cut short"
        case .invalid(let what), .notPermitted(let what): what
        }
    }

    /// What a request that fails so is answered with.
    package var errorNumber: Int32 {
        if case .notPermitted = self { return 1 }
        return 22
    }
}
