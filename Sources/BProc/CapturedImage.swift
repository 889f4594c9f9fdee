import Glibc

/// The sealed image of one program; it may be launched any number of times.
public struct CapturedImage: ~Copyable {
    /// For calls that borrow it; closed with the image.
    public let descriptor: Int32
    /// Bytes of the image as it is.
    public let byteCount: UInt64
    /// From the helper's start of the program to the finished image, as the helper measured it.
    public let captureNanoseconds: UInt64

    /// Bytes of the packed image, if the descriptor is that of one.
    public var packedByteCount: UInt64? {
        // An image as it is is an ELF file; a packed one is not.
        var first: UInt8 = 0
        var status = stat()
        guard unsafe pread(descriptor, &first, 1, 0) == 1, first != 0x7f,
            unsafe fstat(descriptor, &status) == 0
        else { return nil }
        return UInt64(status.st_size)
    }

    init(adopting descriptor: Int32, byteCount: UInt64, captureNanoseconds: UInt64) {
        self.descriptor = descriptor
        self.byteCount = byteCount
        self.captureNanoseconds = captureNanoseconds
    }

    deinit { _ = close(descriptor) }
}
