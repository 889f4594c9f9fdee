import ProcessImage

/// The roles a daemon's binary has besides being a daemon: libbproc runs it by descriptor, so that
/// no path has to exist.
package enum HelperRole {
    /// Runs the role that the arguments ask for and answers its exit code; nil: none is asked for.
    package static func run(_ arguments: [String]) -> Int32? {
        guard arguments.contains("--helper=capture") else { return nil }
        for argument in arguments where argument.hasPrefix("--socket=") {
            guard let socket = Int32(argument.dropFirst("--socket=".count)), socket >= 0 else {
                return 64
            }
            return CaptureHelper.run(socket: socket)
        }
        return 64
    }
}
