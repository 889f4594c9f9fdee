import CSystem
import ProcessImage
package import System

/// The supervisor of a program of the site, and with it everything that the program has started.
package struct HookProcess: ~Copyable {
    package let child: ChildProcess

    private static let logByteLimit: UInt64 = 1 << 20

    /// Starts a program.
    /// - Parameters:
    ///   - words: the program's path and its arguments.
    ///   - environment: variables it has besides the daemon's own, as NAME=VALUE.
    ///   - log: a file that its output is appended to.
    package init(
        _ words: [String], environment: [String], log: String
    ) throws(SystemCallError) {
        try check(words[0], unsafe words[0].withCString { unsafe bp_can_execute($0) })
        let file = OwnedDescriptor(
            adopting: Int32(
                try check(
                    "open \(log)",
                    unsafe log.withCString { unsafe bp_open_log($0, Self.logByteLimit) })))
        let title = Array("--- \(words.joined(separator: " "))\n".utf8)
        _ = unsafe bp_write(file.number, title, title.count)
        let arguments = CStringArray(
            ([words[0], "--helper=hook", "--parent=\(bp_own_pid())"] + words).map {
                Array($0.utf8)
            })
        let variables = CStringArray((ownEnvironment() + environment).map { Array($0.utf8) })
        var pidfd: Int32 = -1
        let pid = try check(
            "start \(words[0])",
            unsafe arguments.withPointers { arguments in
                unsafe variables.withPointers { variables in
                    unsafe bp_start_supervisor(arguments, variables, file.number, &pidfd)
                }
            })
        child = ChildProcess(
            identifier: Int32(pid), descriptor: OwnedDescriptor(adopting: pidfd))
    }

    /// Ends it with everything that it has started.
    package borrowing func end() { _ = bp_child_signal(child.descriptor.number, 15) }
}

/// What programs of the site may know of the daemon's environment.
private func ownEnvironment() -> [String] {
    ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
}
