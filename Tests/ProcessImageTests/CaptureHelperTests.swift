import CLocalProtocol
import Glibc
import ImageSamples
import ProcessImage
import Testing

/// The helper as the library uses it: a process with one socket, one question and one answer.
@Suite struct CaptureHelperTests {
    /// Starts the helper; answers its process number and our end of the socket.
    private func start(environment: [String] = []) -> (pid: pid_t, socket: Int32) {
        var ends: [Int32] = [0, 0]
        precondition(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        let pid = Workshop.start(
            [Workshop.tool, "--helper=capture", "--socket=3"], environment: environment, output: 2,
            keeping: ends[1])
        close(ends[1])
        return (pid, ends[0])
    }

    private func message(
        command: String, arguments: [String], environment: [String],
        compression: bproc_local_compression = BPROC_LOCAL_COMPRESSION_AUTO
    ) -> [UInt8] {
        var tail = Array(command.utf8)
        for string in arguments + environment { tail += Array(string.utf8) + [0] }
        var body = bproc_local_capture()
        body.packing.compression = compression.rawValue
        body.argument_count = UInt32(arguments.count)
        body.environment_count = UInt32(environment.count)
        body.command_bytes = UInt32(command.utf8.count)
        body.argument_bytes = UInt32(arguments.reduce(0) { $0 + $1.utf8.count + 1 })
        body.environment_bytes = UInt32(environment.reduce(0) { $0 + $1.utf8.count + 1 })
        var header = bproc_local_header()
        header.magic = BPROC_LOCAL_MAGIC
        header.version = 1
        header.kind = UInt16(BPROC_LOCAL_CAPTURE.rawValue)
        header.request = 77
        header.body_bytes = UInt32(MemoryLayout<bproc_local_capture>.size + tail.count)
        return withUnsafeBytes(of: header) { Array($0) } + withUnsafeBytes(of: body) { Array($0) }
            + tail
    }

    private struct Answer {
        var header = bproc_local_header()
        var body = bproc_local_captured()
        var descriptor: Int32 = -1

        var reason: String {
            withUnsafeBytes(of: body.reason) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
        }
    }

    /// Receives the answer and the descriptor that comes with its first byte.
    private func receive(_ socket: Int32) -> Answer? {
        var answer = Answer()
        let size = MemoryLayout<bproc_local_header>.size + MemoryLayout<bproc_local_captured>.size
        var bytes = [UInt8](repeating: 0, count: size)
        var control = [UInt64](repeating: 0, count: 4)
        let count = bytes.withUnsafeMutableBytes { bytes in
            control.withUnsafeMutableBytes { control in
                var vector = iovec(iov_base: bytes.baseAddress, iov_len: bytes.count)
                return withUnsafeMutablePointer(to: &vector) { vector in
                    var message = msghdr()
                    message.msg_iov = vector
                    message.msg_iovlen = 1
                    message.msg_control = control.baseAddress
                    message.msg_controllen = control.count
                    return recvmsg(socket, &message, Int32(MSG_WAITALL))
                }
            }
        }
        guard count == size else { return nil }
        // struct cmsghdr: length (8), level (4), type (4), then the descriptor.
        if control[0] >= 20 { answer.descriptor = Int32(truncatingIfNeeded: control[2]) }
        bytes.withUnsafeBytes {
            answer.header = $0.loadUnaligned(as: bproc_local_header.self)
            answer.body = $0.loadUnaligned(
                fromByteOffset: MemoryLayout<bproc_local_header>.size,
                as: bproc_local_captured.self)
        }
        return answer
    }

    @Test func answersWithASealedImage() throws {
        let helper = start()
        let question = message(
            command: "/bin/ls", arguments: ["ls", "-l"], environment: ["A=b", "EMPTY="])
        #expect(write(helper.socket, question, question.count) == question.count)
        let answer = try #require(receive(helper.socket))
        #expect(answer.header.kind == UInt16(BPROC_LOCAL_CAPTURED.rawValue))
        #expect(answer.header.request == 77)
        #expect(answer.body.error == 0 && answer.body.capture_nanoseconds > 0)
        try #require(answer.descriptor >= 0)
        let image = ImageBytes(bytes: Workshop.bytes(of: answer.descriptor))
        #expect(UInt64(image.bytes.count) == answer.body.image_bytes)
        let header = try image.parse()
        #expect(header.name == "ls")
        close(answer.descriptor)
        close(helper.socket)
        #expect(Workshop.wait(helper.pid) == 0)
    }

    /// imagetool has no advice to give: with "auto" nothing is packed.
    @Test(arguments: [
        BPROC_LOCAL_COMPRESSION_AUTO, BPROC_LOCAL_COMPRESSION_ALWAYS,
        BPROC_LOCAL_COMPRESSION_NEVER,
    ])
    func packsWhatItIsToldToPack(compression: bproc_local_compression) throws {
        let helper = start()
        let question = message(
            command: "/bin/ls", arguments: ["ls"], environment: [], compression: compression)
        #expect(write(helper.socket, question, question.count) == question.count)
        let answer = try #require(receive(helper.socket))
        try #require(answer.body.error == 0 && answer.descriptor >= 0)
        let bytes = Workshop.bytes(of: answer.descriptor)
        if compression == BPROC_LOCAL_COMPRESSION_ALWAYS {
            #expect(UInt64(bytes.count) == answer.body.packed_bytes)
            #expect(answer.body.packed_bytes < answer.body.image_bytes)
            let header = try PackedBytes(bytes).parse()
            #expect(UInt64(header.unpackedByteCount) == answer.body.image_bytes)
        } else {
            #expect(answer.body.packed_bytes == 0)
            #expect(UInt64(bytes.count) == answer.body.image_bytes)
        }
        close(answer.descriptor)
        close(helper.socket)
        #expect(Workshop.wait(helper.pid) == 0)
    }

    @Test func answersWithAReason() throws {
        let helper = start()
        let question = message(command: "/nothing", arguments: [], environment: [])
        #expect(write(helper.socket, question, question.count) == question.count)
        let answer = try #require(receive(helper.socket))
        #expect(answer.body.error == ENOENT && answer.descriptor == -1)
        #expect(answer.reason == "/nothing: No such file or directory")
        close(helper.socket)
        #expect(Workshop.wait(helper.pid) == 0)
    }

    @Test func refusesWhatIsNotAQuestion() throws {
        let good = message(command: "/bin/ls", arguments: ["ls"], environment: ["A=b"])
        let bad: [[UInt8]] = [
            [], Array(good.dropLast()), [0] + good,
            // a body length beyond the limit, and lengths that do not add up
            good.replacing(at: 8, with: [0xff, 0xff, 0xff, 0xff]),
            good.replacing(at: 16 + 4, with: [9, 0, 0, 0]),
            good.replacing(at: 16 + 12, with: [0xff, 0xff, 0xff, 0xff]),
        ]
        for question in bad {
            let helper = start()
            #expect(write(helper.socket, question, question.count) == question.count)
            shutdown(helper.socket, Int32(SHUT_WR))
            #expect(receive(helper.socket) == nil)
            close(helper.socket)
            #expect(Workshop.wait(helper.pid) == 1)
        }
    }

    @Test func aKilledHelperLeavesNothingBehind() throws {
        guard let library = Programs.waits else { return }
        let file = Workshop.folder + "/waiting-pid"
        unlink(file)
        let helper = start()
        let question = message(
            command: "/bin/ls", arguments: ["ls"],
            environment: ["LD_PRELOAD=" + library, "BPROC_TEST_FILE=" + file])
        #expect(write(helper.socket, question, question.count) == question.count)
        var program: pid_t = 0
        while program == 0 {
            usleep(1000)
            guard access(file, R_OK) == 0 else { continue }
            let text = String(decoding: Workshop.bytes(of: file), as: UTF8.self)
            program = text.hasSuffix("\n") ? pid_t(text.dropLast()) ?? 0 : 0
        }
        #expect(kill(program, 0) == 0)
        kill(helper.pid, SIGKILL)
        #expect(Workshop.wait(helper.pid) == 128 + SIGKILL)
        // The kernel kills the program as its tracer goes; who reaps it is not ours to say.
        while isRunning(program) { usleep(1000) }
        close(helper.socket)
    }

    private func isRunning(_ pid: pid_t) -> Bool {
        let file = open("/proc/\(pid)/stat", O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return false }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 512)
        let count = read(file, &bytes, bytes.count)
        let text = String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
        let state = text.split(separator: ")").last?.first { $0 != " " }
        return state != nil && state != "Z" && state != "X"
    }
}

extension [UInt8] {
    func replacing(at offset: Int, with bytes: [UInt8]) -> [UInt8] {
        var copy = self
        copy.replaceSubrange(offset..<(offset + bytes.count), with: bytes)
        return copy
    }
}
