import BProc
import CBProc
import CLocalProtocol
import Foundation
import Testing

/// Capture and vexecmove with a helper of the tests' own, built here. Ghosts are the daemon's.
@Suite(.enabled(if: Toolchain.hasCompilers, "needs /usr/bin/cc"))
struct CaptureTests {
    /// What the helper does is chosen by the command's name.
    static let helperSource = """
        #define _GNU_SOURCE
        #include "bproc_local.h"
        #include <errno.h>
        #include <signal.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <string.h>
        #include <sys/mman.h>
        #include <sys/socket.h>
        #include <unistd.h>
        static void get(int fd, void *into, size_t count) {
            char *bytes = into;
            while (count) {
                ssize_t got = read(fd, bytes, count);
                if (got <= 0) _exit(9);
                bytes += got;
                count -= (size_t)got;
            }
        }
        int main(int count, char **arguments) {
            int fd = -1;
            if (count == 3 && !strcmp(arguments[1], "--helper=ghosts")) {
                execv(DAEMON, arguments);
                return 5;
            }
            if (count != 3 || strcmp(arguments[1], "--helper=capture")) return 8;
            if (sscanf(arguments[2], "--socket=%d", &fd) != 1) return 7;
            struct bproc_local_header header;
            get(fd, &header, sizeof header);
            char *body = malloc(header.body_bytes);
            get(fd, body, header.body_bytes);
            struct bproc_local_capture capture;
            memcpy(&capture, body, sizeof capture);
            char *command = strndup(body + sizeof capture, capture.command_bytes);
            if (!strcmp(command, "/die")) return 0;
            struct {
                struct bproc_local_header header;
                struct bproc_local_captured captured;
            } answer = {{BPROC_LOCAL_MAGIC, 1, BPROC_LOCAL_CAPTURED, sizeof answer.captured, 0},
                        {0}};
            sigset_t mask;
            sigprocmask(SIG_SETMASK, NULL, &mask);
            answer.captured.image_bytes = header.body_bytes;
            answer.captured.capture_nanoseconds =
                (unsigned)sigismember(&mask, SIGUSR2) | (unsigned)sigismember(&mask, SIGTERM) << 1;
            if (!strcmp(command, "/missing")) {
                answer.captured.error = ENOENT;
                strcpy(answer.captured.reason, "there is no such program");
            }
            if (!strcmp(command, "/lie")) answer.header.body_bytes = 3;
            int image = memfd_create("image", MFD_CLOEXEC);
            if (write(image, body, header.body_bytes) < 0) return 6;
            char control[CMSG_SPACE(sizeof(int))] = {0};
            struct iovec part = {&answer, sizeof answer.header + answer.header.body_bytes};
            struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
            if (!answer.captured.error && strcmp(command, "/bare")) {
                message.msg_control = control;
                message.msg_controllen = sizeof control;
                struct cmsghdr *head = CMSG_FIRSTHDR(&message);
                head->cmsg_level = SOL_SOCKET;
                head->cmsg_type = SCM_RIGHTS;
                head->cmsg_len = CMSG_LEN(sizeof(int));
                memcpy(CMSG_DATA(head), &image, sizeof(int));
            }
            return sendmsg(fd, &message, 0) < 0;
        }

        """

    /// Builds the helper and answers a read-only descriptor of it, as the daemon lends one.
    static func helper() throws -> Int32 {
        let directory = try temporaryDirectory()
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let file = "\(directory)/helper.c"
        try helperSource.write(toFile: file, atomically: true, encoding: .utf8)
        let messages = try Toolchain.compile(
            "cc",
            ["-O1", "-Wall", "-Werror", "-DDAEMON=\"\(daemon)\"", "-o", "\(directory)/helper"]
                + Toolchain.includes + [file])
        try #require(messages == "")
        let descriptor = open("\(directory)/helper", O_RDONLY | O_CLOEXEC)
        try #require(descriptor >= 0)
        return descriptor
    }

    /// A network of 16 nodes, as the daemon describes it to the helper.
    static var network: [UInt8] {
        var network = bproc_local_network()
        network.node_count = 16
        network.uplink_bytes_per_second = 125e6
        return withUnsafeBytes(of: network) { Array($0) }
    }

    /// The master of this build, whose ghosts are the real ones.
    static let daemon: String = {
        let root = #filePath.split(separator: "/").dropLast(3).map { "/" + $0 }.joined()
        return root + "/.build/release/bpmaster"
    }()

    static func lending(
        _ helper: Int32, then launch: @escaping ScriptedDaemon.Script = { _ in }
    ) -> ScriptedDaemon.Script {
        { connection in
            try connection.welcome()
            var message = try connection.receive()
            if message.kind == BPROC_LOCAL_HELPER_REQUEST.rawValue {
                try connection.send(BPROC_LOCAL_HELPER, network, descriptor: helper)
                // A call that starts something goes on over the same connection.
                message = try connection.receive()
            }
            close(message.descriptor)
            try launch(connection)
        }
    }

    @Test func takesImagesAndTellsErrors() async {
        await #expect(processExitsWith: .success) {
            let helper = try CaptureTests.helper()
            try Scenario.run(CaptureTests.lending(helper)) {
                let image = try Cluster().capture(
                    "/fine", arguments: [Array("fine".utf8), [0xff, 0xfe], []],
                    environment: [Array("A=b".utf8)])
                var body = [UInt8](repeating: 0, count: 200)
                let count = pread(image.descriptor, &body, body.count, 0)
                let expected =
                    MemoryLayout<bproc_local_capture>.size + "/finefine".utf8.count + 1 + 3 + 1 + 4
                try #require(count == expected && image.byteCount == UInt64(expected))
                // Arguments arrive as bytes, UTF-8 or not, each with its NUL.
                try #require(
                    Array(body[..<count].suffix(13))
                        == Array("fine\0".utf8) + [0xff, 0xfe, 0, 0] + Array("A=b\0".utf8))
                // Two megabytes of arguments pass; seventeen do not.
                let large = [UInt8](repeating: 65, count: 1 << 20)
                _ = try Cluster().capture("/fine", arguments: [large, large], environment: [])
                do {
                    _ = try Cluster().capture(
                        "/fine", arguments: Array(repeating: large, count: 17), environment: [])
                    throw LibraryFailure(error: 0, reason: "17 MB of arguments were taken")
                } catch let error as BProcError {
                    try #require(error.errorNumber == E2BIG)
                }
                for (command, number) in [
                    ("/missing", ENOENT), ("/die", EIO), ("/lie", EPROTO), ("/bare", EPROTO),
                ] {
                    do {
                        _ = try Cluster().capture(command, arguments: [[]], environment: [])
                        throw LibraryFailure(error: 0, reason: "\(command) was captured")
                    } catch let error as BProcError {
                        try #require(error.errorNumber == number)
                        try #require(error.sentence.contains(command))
                    }
                }
            }
        }
    }

    /// The program's signal mask is the caller's; a caller without interest in its children does no
    /// harm.
    @Test func signalsStayTheCallers() async {
        await #expect(processExitsWith: .success) {
            let helper = try CaptureTests.helper()
            var set = sigset_t()
            sigemptyset(&set)
            sigaddset(&set, SIGUSR2)
            pthread_sigmask(SIG_SETMASK, &set, nil)
            signal(SIGCHLD, SIG_IGN)
            try Scenario.run(CaptureTests.lending(helper)) {
                let image = try Cluster().capture("/fine", arguments: [[65]], environment: [])
                try #require(image.captureNanoseconds == 1)
            }
        }
    }

    /// A daemon that lends nothing, or something that is no program, or dies before it does.
    @Test func badHelpersAreErrors() async {
        await #expect(processExitsWith: .success) {
            func capture() throws -> Int32 {
                do {
                    _ = try Cluster().capture("/fine", arguments: [[65]], environment: [])
                    return 0
                } catch {
                    return error.errorNumber
                }
            }
            try Scenario.run({ connection in
                try connection.welcome()
                _ = try connection.receive()
            }) { try #require(try capture() == ECONNRESET) }
            try Scenario.run({ connection in
                try connection.welcome()
                _ = try connection.receive()
                try connection.send(BPROC_LOCAL_HELPER, CaptureTests.network)
            }) { try #require(try capture() == EPROTO) }
            let text = open("/etc/hostname", O_RDONLY | O_CLOEXEC)
            try Scenario.run(CaptureTests.lending(text)) {
                // Root may read anything as a program; then it is none.
                let error = try capture()
                try #require(error == EACCES || error == ENOEXEC)
            }
        }
    }

    @Test func vexecmoveAnswersPidsAndErrors() async {
        await #expect(processExitsWith: .success) {
            let helper = try CaptureTests.helper()
            let launch: ScriptedDaemon.Script = { connection in
                try connection.send(
                    BPROC_LOCAL_FAILURE,
                    Scenario.failure(
                        rank: 1, node: 9, stage: BPROC_LOCAL_STAGE_PLAN, error: BE_INVALIDNODE, "no"
                    ))
                try connection.send(
                    BPROC_LOCAL_LAUNCHED, Scenario.launched([700, -BE_INVALIDNODE, 702]))
                try connection.send(
                    BPROC_LOCAL_EXIT,
                    Scenario.exit(rank: 0, process: 700, status: 0)
                        + Scenario.exit(rank: 2, process: 702, status: 2 << 8))
                connection.waitForEnd()
            }
            try Scenario.run(CaptureTests.lending(helper, then: launch)) {
                var nodes: [Int32] = [0, 9, 2]
                var pids: [Int32] = [0, 0, 0]
                var arguments: [UnsafeMutablePointer<CChar>?] = [strdup("x"), nil]
                for _ in 0..<3 {
                    let count = bproc_vexecmove_io(
                        3, &nodes, &pids, nil, 0, "/fine", &arguments, nil)
                    try #require(count == 3 && pids[1] == -BE_INVALIDNODE)
                    for rank in [0, 2] {
                        var status: Int32 = -1
                        try #require(waitpid(pids[rank], &status, 0) == pids[rank])
                        try #require(status == Int32(rank) << 8)
                    }
                }
                try #require(
                    bproc_vexecmove_io(3, &nodes, &pids, nil, 0, "/missing", &arguments, nil) == -1)
                try #require(errno == ENOENT)
            }
        }
    }

    /// The default I/O: both outputs arrive at standard output while the caller does other things.
    @Test func vexecmoveForwardsOutput() async {
        await #expect(processExitsWith: .success) {
            let helper = try CaptureTests.helper()
            let launch: ScriptedDaemon.Script = { connection in
                try connection.send(BPROC_LOCAL_LAUNCHED, Scenario.launched([700]))
                try connection.send(
                    BPROC_LOCAL_OUTPUT, Scenario.output(rank: 0, stream: 1, "to output\n"))
                let message = try connection.receiveOfRanks()
                guard message.kind == BPROC_LOCAL_OUTPUT_CREDIT.rawValue else { return }
                try connection.send(
                    BPROC_LOCAL_OUTPUT, Scenario.output(rank: 0, stream: 2, "to error\n"))
                _ = try connection.receiveOfRanks()
                try connection.send(
                    BPROC_LOCAL_EXIT, Scenario.exit(rank: 0, process: 700, status: 0, cause: 1))
                connection.waitForEnd()
            }
            var ends: [Int32] = [0, 0]
            try #require(pipe(&ends) == 0)
            _ = fcntl(ends[0], F_SETFD, FD_CLOEXEC)
            dup2(ends[1], 1)
            close(ends[1])
            try Scenario.run(CaptureTests.lending(helper, then: launch)) {
                let before = openDescriptors()
                var nodes: [Int32] = [0]
                var pids: [Int32] = [0]
                var arguments: [UnsafeMutablePointer<CChar>?] = [strdup("x"), nil]
                try #require(bproc_vexecmove(1, &nodes, &pids, "/fine", &arguments, nil) == 1)
                var text = ""
                while text != "to output\nto error\n" {
                    var bytes = [UInt8](repeating: 0, count: 100)
                    let count = read(ends[0], &bytes, bytes.count)
                    try #require(count > 0)
                    text += String(decoding: bytes.prefix(count), as: UTF8.self)
                }
                // Its node has died, as the exit says.
                var status: Int32 = -1
                try #require(waitpid(pids[0], &status, 0) == pids[0])
                try #require(status == SIGKILL)
                try #require(waitpid(-1, nil, 0) == -1 && errno == ECHILD)
                // The daemon's end of the job closes with the server.
                for _ in 0..<2000 where !openDescriptors().isSubset(of: before) { usleep(10_000) }
                try #require(openDescriptors().isSubset(of: before))
            }
        }
    }
}
