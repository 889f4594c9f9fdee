import CSystem
import System

/// The memory file that an image is written into, mapped while it is being written.
///
/// Invariant: `base` is the start of a writable shared mapping of `capacity` bytes, which no other
/// value uses and `deinit` or `seal` ends.
@safe struct ImageFile: ~Copyable {
    private let descriptor: OwnedDescriptor
    private let base: UnsafeMutableRawPointer
    private let capacity: Int

    /// A file of at most `capacity` bytes; untouched pages cost nothing.
    init(name: String, capacity: Int) throws(CaptureError) {
        let file = OwnedDescriptor(
            adopting: Int32(
                try require("create image file", unsafe bp_image_file(name, 1))))
        _ = try require("size image file", bp_image_resize(file.number, UInt64(capacity)))
        let address = bp_image_map(file.number, UInt64(capacity), 1)
        _ = try require("map image file", address)
        // A mapping that the kernel granted is never at zero.
        unsafe base = UnsafeMutableRawPointer(bitPattern: address)!
        descriptor = file
        self.capacity = capacity
    }

    deinit { unsafe bp_image_unmap(base, UInt64(capacity)) }

    /// Lends a piece of the file for writing, with its pages already there.
    mutating func withBytes<Result, Failure: Error>(
        _ range: Range<Int>, _ body: (UnsafeMutableRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        precondition(range.lowerBound >= 0 && range.upperBound <= capacity, "inside the file")
        return try unsafe body(
            UnsafeMutableRawBufferPointer(start: base + range.lowerBound, count: range.count))
    }

    /// Makes pages present in one call; only a help, a fault does the same one page at a time.
    mutating func populate(_ range: Range<Int>) {
        guard range.lowerBound >= 0, range.upperBound <= capacity, !range.isEmpty else { return }
        _ = unsafe bp_image_populate(base + range.lowerBound, UInt64(range.count))
    }

    mutating func write(_ bytes: borrowing RawSpan, at offset: Int) {
        precondition(offset >= 0 && offset + bytes.byteCount <= capacity, "inside the file")
        unsafe bytes.withUnsafeBytes { source in
            guard let start = source.baseAddress else { return }
            unsafe (base + offset).copyMemory(from: start, byteCount: source.count)
        }
    }

    /// XXH3-64 of a piece.
    borrowing func checksum(_ range: Range<Int>) -> UInt64 {
        precondition(range.lowerBound >= 0 && range.upperBound <= capacity, "inside the file")
        let bytes = unsafe RawSpan(
            _unsafeStart: UnsafeRawPointer(base + range.lowerBound), byteCount: range.count)
        return ImageChecksum.of(bytes)
    }

    borrowing func prefixChecksum(byteCount: Int, fieldOffset: Int) -> UInt64 {
        precondition(byteCount <= capacity, "inside the file")
        let bytes = unsafe RawSpan(_unsafeStart: UnsafeRawPointer(base), byteCount: byteCount)
        return ImageChecksum.ofPrefix(bytes, fieldOffset: fieldOffset)
    }

    /// Cuts the file to its final length and makes it unchangeable, for everyone and for ever.
    consuming func seal(byteCount: Int) throws(CaptureError) -> OwnedDescriptor {
        let number = descriptor.number
        _ = try require("cut image file", bp_image_resize(number, UInt64(byteCount)))
        let copy: OwnedDescriptor
        do {
            copy = try descriptor.duplicate()
        } catch {
            throw .system(error)
        }
        // A write seal is refused while a writable mapping exists: the end of self removes it.
        try finish()
        _ = try require("seal image file", bp_image_seal(copy.number))
        return copy
    }

    private consuming func finish() throws(CaptureError) {}
}
