import CSystem
import Ghosts
import ProcessImage

/// The roles a daemon's binary has besides being a daemon: libbproc runs it by descriptor, so that
/// no path has to exist.
package enum HelperRole {
    /// Runs the role that the arguments ask for and answers its exit code; nil: none is asked for.
    package static func run(_ arguments: [String]) -> Int32? {
        if arguments.dropFirst().first == "--helper=hook" { return supervise(arguments) }
        let isGhosts = arguments.contains("--helper=ghosts")
        guard isGhosts || arguments.contains("--helper=capture") else { return nil }
        guard let socket = number("--socket=", in: arguments) else { return 64 }
        if isGhosts { return GhostHelper.run() }
        return CaptureHelper.run(socket: socket, packingPays: LocalNetwork.packingPays)
    }

    /// The supervisor of a hook: "--helper=hook", "--parent=PID", the program and its arguments.
    private static func supervise(_ arguments: [String]) -> Int32 {
        guard arguments.count > 3, let parent = number("--parent=", in: [arguments[2]]) else {
            return 64
        }
        let words = CStringArray(arguments[3...].map { Array($0.utf8) })
        return unsafe words.withPointers { unsafe bp_supervise($0, parent) }
    }

    /// The descriptor number of an option.
    private static func number(_ option: String, in arguments: [String]) -> Int32? {
        for argument in arguments where argument.hasPrefix(option) {
            return Int32(argument.dropFirst(option.count)).flatMap { $0 < 0 ? nil : $0 }
        }
        return nil
    }
}
