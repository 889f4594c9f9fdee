import CSystem
import Glibc

/// Whole texts to the standard streams of a command.
public enum StandardOutput {
    /// Writes all of a text. A reader that has gone away ends the command as SIGPIPE does.
    public static func write(_ text: String) { write(text, to: STDOUT_FILENO) }

    /// `name: text` and a newline, on standard error.
    public static func report(_ text: String, command: String) {
        write("\(command): \(text)\n", to: STDERR_FILENO)
    }

    public static func write(_ text: String, to descriptor: Int32) {
        // Who has gone away, or has no room, is not told that either.
        _ = TextFile.write(text, to: descriptor)
    }

    public static func isTerminal(_ descriptor: Int32) -> Bool {
        bp_command_is_terminal(descriptor) == 1
    }

    /// Columns of a terminal; nil: it is none.
    public static func columns(of descriptor: Int32) -> Int? {
        let columns = Int(bp_command_terminal_columns(descriptor))
        return columns > 0 ? columns : nil
    }

    /// Lines of a terminal; nil: it is none.
    public static func rows(of descriptor: Int32) -> Int? {
        let rows = Int(bp_command_terminal_rows(descriptor))
        return rows > 0 ? rows : nil
    }
}
