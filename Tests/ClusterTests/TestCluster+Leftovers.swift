import Glibc
import Testing

// What a test has left behind: every daemon that still answers is asked for its book-keeping, which
// is all zeros once nothing is under way, and no helper of the library's may be running any more.
extension TestCluster {
    /// Waits until nothing is left of what the test has started; what stays is its failure.
    func expectNothingLeft() {
        // A test may have stopped some: they have a book to show as well.
        for daemon in daemons { daemon.signal(SIGCONT) }
        guard let master else { return expectNoHelpers() }
        var left = ""
        let isClean = Waiting.until(seconds: Self.patience) {
            // One that was told to end may be about to: then nobody has a book.
            guard master.poll() == nil else { return true }
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

    /// Servers of ghosts, their holders and ghosts: they run in the library's helper.
    private func expectNoHelpers() {
        var left: [pid_t] = []
        let isClean = Waiting.until(seconds: Self.patience) {
            left = helpers()
            return left.isEmpty
        }
        #expect(isClean, "helpers are left: \(left)")
        for pid in left { kill(pid, SIGKILL) }
    }

    /// The helper is the daemon's own program of this build. One cluster is there at a time.
    private func helpers() -> [pid_t] {
        TestFile.names(in: "/proc").compactMap { pid_t($0) }.filter { pid in
            guard let words = TestFile.read("/proc/\(pid)/cmdline"),
                String(decoding: words, as: UTF8.self).contains("\0--helper=ghosts\0")
            else { return false }
            return isOfThisBuild(pid)
        }
    }

    private func isOfThisBuild(_ pid: pid_t) -> Bool {
        ["bpmaster", "bpslave"].contains { name in
            var program = stat()
            var running = stat()
            return stat("\(Self.build)/\(name)", &program) == 0
                && stat("/proc/\(pid)/exe", &running) == 0
                && program.st_ino == running.st_ino && program.st_dev == running.st_dev
        }
    }
}
