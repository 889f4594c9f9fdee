import Glibc

/// What is being run, said on descriptor 2 if the process dies of it: the trap itself names
/// neither the target nor the seed. One run at a time.
public enum CrashNote {
    private static let capacity = 128
    nonisolated(unsafe) private static let text = {
        let text = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
        text.initialize(repeating: 0, count: capacity)
        return text
    }()
    nonisolated(unsafe) private static var count = 0

    /// Names the run; the handler writes what stands here then.
    public static func set(target: String, seed: UInt64) {
        count = 0
        append("\nfuzz: died in target ")
        append(target)
        append(", seed ")
        var digits: (UInt64, Int) = (seed, 1)
        while digits.0 >= 10 { digits = (digits.0 / 10, digits.1 + 1) }
        var rest = seed
        for place in stride(from: count + digits.1 - 1, through: count, by: -1)
        where place < capacity {
            text[place] = 48 + UInt8(rest % 10)
            rest /= 10
        }
        count = min(capacity, count + digits.1)
        append("\n")
    }

    public static func clear() { count = 0 }

    private static func append(_ words: String) {
        for byte in words.utf8 where count < capacity {
            text[count] = byte
            count += 1
        }
    }

    /// Has the note written before the process dies of a trap or a bad address.
    public static func install() {
        _ = text
        for number in [SIGILL, SIGTRAP, SIGSEGV, SIGBUS, SIGABRT, SIGFPE] {
            var action = sigaction()
            action.__sigaction_handler.sa_handler = { number in
                CrashNote.writeOut()
                signal(number, SIG_DFL)
                raise(number)
            }
            action.sa_flags = Int32(bitPattern: UInt32(SA_RESETHAND))
            sigaction(number, &action, nil)
        }
    }

    private static func writeOut() {
        if count > 0 { _ = write(2, text, count) }
    }
}
