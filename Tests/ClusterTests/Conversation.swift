import Glibc
import System

/// A child with a pipe on each of its standard streams, served by one poll loop.
final class Conversation {
    let process: Subprocess
    private var inputEnd: Int32
    private var outputEnds: [Int32]
    private var unsent: ArraySlice<UInt8>
    private var collected: [[UInt8]] = [[], []]
    private var closesInput: Bool

    /// - Parameter input: nil keeps the child's standard input open and silent until `finish`.
    init(
        _ program: String, _ arguments: [String], environment: [String: String], input: [UInt8]?
    ) throws {
        let pipes = try (0..<3).map { _ in try Pipe().split() }
        defer {
            close(pipes[0].reading)
            close(pipes[1].writing)
            close(pipes[2].writing)
        }
        inputEnd = pipes[0].writing
        outputEnds = [pipes[1].reading, pipes[2].reading]
        unsent = (input ?? [])[...]
        closesInput = input != nil
        for descriptor in [inputEnd] + outputEnds { _ = fcntl(descriptor, F_SETFL, O_NONBLOCK) }
        do {
            process = try Subprocess(
                program, arguments, environment: environment,
                descriptors: [pipes[0].reading, pipes[1].writing, pipes[2].writing])
        } catch {
            for descriptor in [inputEnd] + outputEnds { close(descriptor) }
            throw error
        }
    }

    deinit {
        for descriptor in [inputEnd] + outputEnds where descriptor >= 0 { close(descriptor) }
    }

    var text: String { String(decoding: collected[0], as: UTF8.self) }
    /// Of its output.
    var byteCount: Int { collected[0].count }
    var errorText: String { String(decoding: collected[1], as: UTF8.self) }

    /// Serves the streams until the condition holds.
    @discardableResult
    func serve(seconds: Int, until condition: () -> Bool) -> Bool {
        let end = Waiting.now() + UInt64(seconds) * 1_000_000_000
        while !condition() {
            guard Waiting.now() < end else { return false }
            step()
        }
        return true
    }

    /// Until the child has ended and all it wrote has been read; kills it when the time is over.
    func finish(seconds: Int) -> Subprocess.Outcome {
        closesInput = true
        let ended = serve(seconds: seconds) {
            process.poll() != nil && outputEnds.allSatisfy { $0 < 0 }
        }
        if !ended { process.end() }
        return Subprocess.Outcome(
            status: process.status ?? -1, output: collected[0], errors: collected[1],
            isOverdue: !ended)
    }

    /// One round of poll; never longer than the pace at which ended children are looked for.
    private func step() {
        if unsent.isEmpty && closesInput && inputEnd >= 0 { closeInput() }
        var entries = outputEnds.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        let writer = unsent.isEmpty ? -1 : inputEnd
        entries.append(pollfd(fd: writer, events: Int16(POLLOUT), revents: 0))
        guard poll(&entries, 3, 20) > 0 else { return }
        for index in 0..<2 where entries[index].revents != 0 { read(index) }
        if entries[2].revents != 0 { write() }
    }

    private func read(_ index: Int) {
        var piece = [UInt8](repeating: 0, count: 1 << 16)
        let count = Glibc.read(outputEnds[index], &piece, piece.count)
        if count > 0 {
            collected[index].append(contentsOf: piece[..<count])
        } else if count == 0 || (errno != EAGAIN && errno != EINTR) {
            close(outputEnds[index])
            outputEnds[index] = -1
        }
    }

    private func write() {
        let count = unsent.withUnsafeBytes { Glibc.write(inputEnd, $0.baseAddress, $0.count) }
        if count > 0 {
            unsent = unsent.dropFirst(count)
        } else if errno != EAGAIN && errno != EINTR {
            // The child does not read any more, which is its right.
            unsent = []
            closesInput = true
        }
    }

    private func closeInput() {
        close(inputEnd)
        inputEnd = -1
    }
}
