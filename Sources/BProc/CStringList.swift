import Glibc

/// A NULL-terminated list of C strings, as execve wants it.
///
/// The invariant: every entry but the last points to a copy made by strndup, all owned here and
/// freed once, in `deinit`; the list does not change after `init`.
@safe
struct CStringList: ~Copyable {
    private let entries: UnsafeMutableBufferPointer<UnsafeMutablePointer<CChar>?>

    /// Each string without its NUL. Bytes, as arguments and environment need not be UTF-8.
    init(_ strings: [[UInt8]]) {
        unsafe entries = .allocate(capacity: strings.count + 1)
        unsafe entries.initialize(repeating: nil)
        for (index, bytes) in strings.enumerated() {
            unsafe entries[index] = bytes.withUnsafeBytes { bytes in
                guard let start = bytes.baseAddress else { return unsafe strdup("") }
                return unsafe strndup(start.assumingMemoryBound(to: CChar.self), bytes.count)
            }
        }
    }

    /// Valid while the list lives.
    var pointer: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? { unsafe entries.baseAddress }

    deinit {
        for index in unsafe 0..<entries.count { unsafe free(entries[index]) }
        unsafe entries.deallocate()
    }
}
