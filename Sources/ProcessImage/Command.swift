import CRestore
import CSystem
import System

/// A command as it will be executed: itself, or the interpreter of a script whose bytes travel
/// along.
struct Command {
    /// What exec is given.
    let path: String
    let arguments: [[UInt8]]
    let embeddedFiles: [EmbeddedFile]
    /// The process name: that of the script, not of its interpreter.
    let name: String

    struct EmbeddedFile {
        let descriptor: UInt32
        let bytes: [UInt8]
        /// Its base name, without a slash.
        let name: [UInt8]

        /// Where the program finds it, if the node can give it a name there.
        var path: [UInt8] { descriptorPath + suffix }
        /// Where it finds it otherwise.
        var descriptorPath: [UInt8] { Array("/proc/self/fd/\(descriptor)".utf8) }
        /// What the two differ by.
        var suffix: [UInt8] { name.isEmpty ? [] : Array("/".utf8) + name }
    }

    /// The first script's descriptor number on the node; an interpreter that is itself a script
    /// takes the one below. High enough to be out of the way of descriptors that shell scripts
    /// name.
    static let firstScriptDescriptor: UInt32 = 99
    static let largestScript = 16 << 20
    private static let deepestNesting = 4  // as the kernel

    init(command: String, arguments: [[UInt8]]) throws(CaptureError) {
        var path = command
        var arguments = arguments
        var embedded: [EmbeddedFile] = []
        while true {
            let file = try CommandFile.open(path)
            let line: ScriptLine?
            do {
                line = try ScriptLine(try file.bytes(atMost: ScriptLine.longest + 1, path))
            } catch let problem as ScriptLine.Problem {
                throw .script(
                    command: path,
                    problem: problem == .noInterpreter
                        ? "its #! line names no interpreter"
                        : "its #! line is longer than 255 bytes")
            } catch let error as CaptureError {
                throw error
            } catch {
                throw .script(command: path, problem: "unreadable")
            }
            guard let line else { break }
            guard embedded.count < Self.deepestNesting else {
                throw .script(command: path, problem: "too many interpreters that are scripts")
            }
            guard file.byteCount <= UInt64(Self.largestScript) else {
                throw .tooLarge(
                    part: "script \(path)", byteCount: file.byteCount,
                    limit: UInt64(Self.largestScript))
            }
            let script = EmbeddedFile(
                descriptor: Self.firstScriptDescriptor - UInt32(embedded.count),
                bytes: try file.bytes(atMost: Self.largestScript, path),
                name: Array(Self.baseName(of: path)))
            embedded.append(script)
            var list = [line.interpreter]
            if let argument = line.argument { list.append(argument) }
            list.append(script.path)
            arguments = list + arguments.dropFirst()
            path = String(decoding: line.interpreter, as: UTF8.self)
        }
        self.path = path
        self.arguments = arguments
        embeddedFiles = embedded
        name = String(decoding: Self.baseName(of: command), as: UTF8.self)
    }

    private static func baseName(of path: String) -> Substring.UTF8View {
        path.utf8.split(separator: UInt8(ascii: "/")).last ?? path[...].utf8
    }
}

/// An opened command that this user may run and read.
private struct CommandFile: ~Copyable {
    private let descriptor: OwnedDescriptor
    let byteCount: UInt64

    private init(descriptor: consuming OwnedDescriptor, byteCount: UInt64) {
        self.descriptor = descriptor
        self.byteCount = byteCount
    }

    static func open(_ path: String) throws(CaptureError) -> CommandFile {
        var file = bp_command_file()
        let result = unsafe bp_open_command(path, &file)
        let failure = Int32(truncatingIfNeeded: -result)
        if failure == 21 { throw .isDirectory(command: path) }
        guard result >= 0 else { throw .cannotOpen(command: path, errorNumber: failure) }
        let opened = OwnedDescriptor(adopting: Int32(result))
        if file.not_runnable != 0 {
            throw .notExecutable(command: path, errorNumber: file.not_runnable)
        }
        if file.set_id != 0 { throw .hasSpecialRights(command: path) }
        let command = CommandFile(descriptor: opened, byteCount: file.byte_count)
        try command.refuseOtherMachines(path)
        return command
    }

    /// A 32-bit program or one for another CPU: exec might run it (through an emulator), an image
    /// of it would not be one of an x86-64 process.
    private borrowing func refuseOtherMachines(_ path: String) throws(CaptureError) {
        let start = try bytes(atMost: 20, path)
        guard start.count == 20, start.starts(with: [0x7f, 0x45, 0x4c, 0x46]) else { return }
        guard start[4] == 2, start[5] == 1, start[18] == 62, start[19] == 0 else {
            throw .notX8664(command: path)
        }
    }

    borrowing func bytes(atMost limit: Int, _ path: String) throws(CaptureError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: min(limit, Int(min(byteCount, UInt64(limit)))))
        var done = 0
        while done < bytes.count {
            let count = unsafe bytes.withUnsafeMutableBytes { buffer in
                unsafe bp_image_read_at(
                    descriptor.number, buffer.baseAddress! + done, buffer.count - done, UInt64(done)
                )
            }
            let got = try require("read \(path)", count)
            if got == 0 { break }
            done += got
        }
        return Array(bytes[..<done])
    }
}
