import Glibc

/// The sealed image of one program; it may be launched any number of times.
public struct CapturedImage: ~Copyable {
    /// For calls that borrow it; closed with the image.
    public let descriptor: Int32
    public let byteCount: UInt64
    /// From the helper's start of the program to the finished image, as the helper measured it.
    public let captureNanoseconds: UInt64

    init(adopting descriptor: Int32, byteCount: UInt64, captureNanoseconds: UInt64) {
        self.descriptor = descriptor
        self.byteCount = byteCount
        self.captureNanoseconds = captureNanoseconds
    }

    deinit { _ = close(descriptor) }
}
