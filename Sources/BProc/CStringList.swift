import Glibc

/// A NULL-terminated list of C strings, as execve wants it.
///
/// The invariant: every entry but the last points to a copy made by strdup, all owned here and freed
/// once, in `deinit`; the list does not change after `init`.
@safe
struct CStringList: ~Copyable {
    private let entries: UnsafeMutableBufferPointer<UnsafeMutablePointer<CChar>?>

    init(_ strings: [String]) {
        unsafe entries = .allocate(capacity: strings.count + 1)
        unsafe entries.initialize(repeating: nil)
        for (index, string) in strings.enumerated() { unsafe entries[index] = strdup(string) }
    }

    /// Valid while the list lives.
    var pointer: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? { unsafe entries.baseAddress }

    deinit {
        for unsafeentry in unsafe entries { unsafe free(entry) }
        unsafe entries.deallocate()
    }
}
