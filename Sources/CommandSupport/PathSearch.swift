import CSystem
import Glibc
import System

/// Finds a program as a shell does.
public enum PathSearch {
    /// What is searched where PATH is not set; its first element is the working directory.
    public static let defaultPath = ":/bin:/usr/bin"

    /// The path of a command.
    /// - Parameters:
    ///   - name: with a slash it is a path already, and only checked.
    ///   - path: directories with colons between; an empty one is the working directory.
    /// - Throws: "command not found", or why the first file of that name cannot be executed; with
    ///   the exit status of a shell, 127 or 126.
    public static func find(
        _ name: String, path: String? = ProcessEnvironment.value(of: "PATH")
    ) throws(CommandError) -> String {
        guard !name.isEmpty else {
            throw CommandError(
                "the command has no name", exitStatus: ExitStatus.commandNotFound)
        }
        if name.contains("/") {
            if let error = refusal(of: name) { throw failure(name, error) }
            return name
        }
        var refused: CommandError?
        for directory in (path ?? defaultPath).split(
            separator: ":", omittingEmptySubsequences: false)
        {
            let candidate = directory.isEmpty ? "./\(name)" : "\(directory)/\(name)"
            guard let error = refusal(of: candidate) else { return candidate }
            // A directory of that name is passed over, as every shell does.
            if error == EACCES { refused = refused ?? failure(candidate, error) }
        }
        throw refused ?? failure(name, ENOENT)
    }

    /// The error number; nil: it can be executed.
    private static func refusal(of path: String) -> Int32? {
        let result = unsafe bp_command_can_execute(path)
        return result == 0 ? nil : Int32(-result)
    }

    private static func failure(_ path: String, _ error: Int32) -> CommandError {
        let isThere = error != ENOENT && error != ENOTDIR
        let reason =
            switch error {
            case EISDIR: "is a directory"
            case EACCES: "permission denied"
            case ENOENT, ENOTDIR: "command not found"
            default: SystemCallError.message(for: error)
            }
        return CommandError(
            "\(path): \(reason)",
            exitStatus: isThere ? ExitStatus.notExecutable : ExitStatus.commandNotFound)
    }
}
