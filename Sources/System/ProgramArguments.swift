import CSystem

/// The command line of this program. `CommandLine` reads it from /proc, which a node may lack.
public enum ProgramArguments {
    /// All of them, the program's own name first.
    public static var all: [String] {
        var arguments: [String] = []
        while let text = unsafe bp_program_argument(Int32(arguments.count)) {
            unsafe arguments.append(String(cString: text))
        }
        return arguments
    }
}
