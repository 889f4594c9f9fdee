import Glibc
import Testing

// What a test has left behind: every daemon that still answers is asked for its book-keeping, which
// is all zeros once nothing is under way, and no helper of the library's may be running any more.
extension TestCluster {
    /// Waits until nothing is left of what the test has started; what stays is its failure.
    func expectNothingLeft() {
        // A test may have stopped some: they have a book to show as well.
        for daemon in daemons { daemon.signal(SIGCONT) }
        guard let master, master.poll() == nil else { return expectNoHelpers() }
        var left = ""
        let isClean = Waiting.until(seconds: Self.patience) {
            left = leftInBooks()
            return left.isEmpty
        }
        #expect(isClean, "the books are not empty: \(left)")
        expectNoHelpers()
    }

    /// The lines of all books whose number is not 0, each with its daemon's name; empty: none.
    private func leftInBooks() -> String {
        var left = ""
        for arguments in [[], ["up"]] {
            guard let answer = try? command("bpctl", ["--debug"] + arguments) else { return "?" }
            // A node that goes down meanwhile is asked no more next time.
            if answer.status != 0 { left += answer.errorText }
            var name = ""
            for line in answer.text.split(separator: "\n") {
                if line.hasSuffix(":") {
                    name = String(line)
                } else if !line.hasSuffix(": 0") {
                    left += "\(name)\(line)\n"
                }
            }
        }
        return left
    }

    /// Helpers, servers of ghosts and ghosts: they have the environment of their caller.
    private func expectNoHelpers() {
        var left: [pid_t] = []
        let isClean = Waiting.until(seconds: Self.patience) {
            left = helpers()
            return left.isEmpty
        }
        #expect(isClean, "helpers are left: \(left)")
        for pid in left { kill(pid, SIGKILL) }
    }

    private func helpers() -> [pid_t] {
        let place = Array("BPROC_SOCKET=\(socket)\0".utf8)
        return TestFile.names(in: "/proc").compactMap { pid_t($0) }.filter { pid in
            guard let words = TestFile.read("/proc/\(pid)/cmdline"),
                String(decoding: words, as: UTF8.self).contains("\0--helper=ghosts\0"),
                let environment = TestFile.read("/proc/\(pid)/environ")
            else { return false }
            return contains(place, in: environment)
        }
    }

    private func contains(_ wanted: [UInt8], in bytes: [UInt8]) -> Bool {
        (0..<max(0, bytes.count - wanted.count + 1)).contains { start in
            bytes[start..<(start + wanted.count)].elementsEqual(wanted)
        }
    }
}
