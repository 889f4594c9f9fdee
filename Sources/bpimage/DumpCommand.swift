import ArgumentParser
import CSystem
import CommandSupport
import Glibc
import ProcessImage
import System

/// The image of a program that has not run yet, in a file.
struct DumpCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dump", abstract: "Write the image of a program, stopped at its entry.",
        discussion: "The program is found as a shell finds it, and does not run.")

    @Option(
        name: .shortAndLong,
        help: "The file to write, executable for its owner. Default: standard output.")
    var output: String?
    @Option(
        help: """
            Let the C library choose its code for no more than this CPU level: x86-64, x86-64-v2, \
            x86-64-v3, x86-64-v4.
            """,
        transform: { text in
            guard let level = CPULevel(rawValue: text) else {
                throw ValidationError("'\(text)' is no CPU level")
            }
            return level
        })
    var level: CPULevel?
    @Flag(help: "Stop before the dynamic linker, which then runs wherever the image does.")
    var atExec = false
    @Argument(parsing: .captureForPassthrough, help: "The command and its arguments.")
    var command: [String]

    func run() throws {
        do throws(CommandError) {
            try dump()
        } catch {
            StandardOutput.report(error.sentence, command: "bpimage")
            throw ArgumentParser.ExitCode(error.exitStatus)
        }
    }

    private func dump() throws(CommandError) {
        guard let name = command.first else { throw CommandError("no command") }
        if output == nil, StandardOutput.isTerminal(STDOUT_FILENO) {
            throw CommandError("an image is not for a terminal: -o names a file")
        }
        let path = try PathSearch.find(name)
        do throws(CaptureError) {
            let image = try ProgramCapture.image(
                command: path, arguments: command.map { Array($0.utf8) },
                environment: ProcessEnvironment.entries(), at: atExec ? .exec : .entry,
                level: level)
            try write(image)
        } catch {
            throw CommandError(error.description)
        }
    }

    private func write(_ image: borrowing CapturedImage) throws(CaptureError) {
        do throws(SystemCallError) {
            guard let output else {
                try copy(image, to: STDOUT_FILENO)
                return
            }
            let file = OwnedDescriptor(
                adopting: Int32(try check("write \(output)", unsafe bp_image_create(output))))
            try copy(image, to: file.number)
        } catch {
            throw .system(error)
        }
    }

    private func copy(
        _ image: borrowing CapturedImage, to descriptor: Int32
    ) throws(SystemCallError) {
        var piece = [UInt8](repeating: 0, count: 1 << 20)
        var done = 0
        while done < image.byteCount {
            let count = try check(
                "read image",
                unsafe bp_image_read_at(
                    image.descriptor.number, &piece, piece.count, UInt64(done)))
            if count == 0 { break }
            try check("write image", unsafe bp_image_write(descriptor, piece, count))
            done += count
        }
    }
}
