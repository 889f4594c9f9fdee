import CTestSupport
import Glibc

/// A program at a terminal of its own, which leads a session there: an interactive shell for one.
final class Terminal {
    let process: Subprocess
    private let descriptor: Int32
    private var collected: [UInt8] = []

    struct OpenError: Error { var number: Int32 }

    init(_ program: String, _ arguments: [String], environment: [String: String]) throws {
        var name = [CChar](repeating: 0, count: 128)
        let opened = bptest_open_terminal(&name, name.count)
        guard opened >= 0 else { throw OpenError(number: Int32(-opened)) }
        descriptor = Int32(opened)
        _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
        let path = String(decoding: name.prefix { $0 != 0 }.map(UInt8.init), as: UTF8.self)
        do {
            process = try Subprocess(
                program, arguments, environment: environment, descriptors: [], terminal: path)
        } catch {
            close(descriptor)
            throw error
        }
    }

    deinit { close(descriptor) }

    /// All that was written to the terminal, what was typed included.
    var text: String { String(decoding: collected, as: UTF8.self) }

    /// The process group that the terminal's keys are for.
    var foregroundGroup: pid_t { tcgetpgrp(descriptor) }

    func type(_ text: String) {
        let bytes = Array(text.utf8)
        precondition(write(descriptor, bytes, bytes.count) == bytes.count)
    }

    /// Control and a letter.
    func press(control letter: Character) {
        type(String(UnicodeScalar(letter.asciiValue! & 0x1f)))
    }

    /// Reads what is written until the condition holds.
    @discardableResult
    func serve(seconds: Int, until condition: () -> Bool) -> Bool {
        Waiting.until(seconds: seconds) {
            var piece = [UInt8](repeating: 0, count: 4096)
            while true {
                let count = read(descriptor, &piece, piece.count)
                guard count > 0 else { break }
                collected += piece[..<count]
            }
            return condition()
        }
    }
}
