/// A NULL-terminated array of C strings, as exec wants it.
///
/// Owns one block of bytes and one of pointers into it; neither moves or is written after the
/// initialiser.
@safe package struct CStringArray: ~Copyable {
    private let bytes: UnsafeMutablePointer<CChar>
    private let pointers: UnsafeMutablePointer<UnsafePointer<CChar>?>

    /// Strings without their NUL; one that contains a NUL ends there for its reader.
    package init(_ strings: [[UInt8]]) {
        let byteCount = strings.reduce(0) { $0 + $1.count + 1 }
        unsafe bytes = .allocate(capacity: max(byteCount, 1))
        unsafe pointers = .allocate(capacity: strings.count + 1)
        var cursor = 0
        for (index, string) in strings.enumerated() {
            unsafe pointers[index] = UnsafePointer(bytes + cursor)
            for byte in string {
                unsafe bytes[cursor] = CChar(bitPattern: byte)
                cursor += 1
            }
            unsafe bytes[cursor] = 0
            cursor += 1
        }
        unsafe pointers[strings.count] = nil
    }

    /// Lends the array for one call.
    package borrowing func withPointers<Result, Failure: Error>(
        _ body: (UnsafePointer<UnsafePointer<CChar>?>) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try unsafe body(UnsafePointer(pointers))
    }

    deinit {
        unsafe bytes.deallocate()
        unsafe pointers.deallocate()
    }
}
