import CBProc
import CImageFormat
import CSystem
import Glibc
import ProcessImage

/// The library's own reader of images, which programs hand files, pipes and sockets to.
extension FuzzTarget {
    static let undumpTargets: [FuzzTarget] = [
        FuzzTarget(
            "undump", runCount: 4000, focus: [256..<720],
            seeds: { [smallImage(dataByteCount: 2 * 4096), smallImage(dataByteCount: 5 * 4096)] },
            repair: repairImage, run: { bytes in undump(bytes) })
    ]

    /// A whole image as far as the reader looks: header, checksums, data.
    private static func smallImage(dataByteCount: Int) -> [UInt8] {
        let prefix = 3 * 4096
        let block = 2 * 4096
        let data = (0..<dataByteCount).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
        var header = bp_image_header()
        header.magic = UInt64(BP_IMAGE_MAGIC)
        header.version = UInt32(BP_IMAGE_VERSION)
        header.architecture = UInt32(BP_IMAGE_ARCHITECTURE_X86_64)
        header.prefix_byte_count = UInt64(prefix)
        header.total_byte_count = UInt64(prefix + dataByteCount)
        header.checksum_block_byte_count = UInt32(block)
        header.name.0 = 97
        header.checksums = bp_image_table(
            offset: 8192, count: UInt32((dataByteCount + block - 1) / block),
            element_byte_count: 8)
        var bytes = [UInt8](repeating: 0, count: prefix) + data
        withUnsafeBytes(of: header) { raw in
            for (index, byte) in raw.enumerated() {
                bytes[Int(BP_IMAGE_HEADER_OFFSET) + index] = byte
            }
        }
        for number in 0..<Int(header.checksums.count) {
            let start = number * block
            let piece = Array(data[start..<min(data.count, start + block)])
            let sum = ImageChecksum.of(piece.span.bytes)
            for index in 0..<8 {
                bytes[8192 + 8 * number + index] = UInt8(truncatingIfNeeded: sum >> (8 * index))
            }
        }
        repairImage(&bytes)
        return bytes
    }

    /// A file and a pipe with the same bytes are the same image, or are refused alike.
    private static func undump(_ bytes: [UInt8]) -> String? {
        let file = Int32(bp_memfd("undump", 0))
        guard file >= 0, write(file, bytes, bytes.count) == bytes.count else {
            return "no file for the input"
        }
        defer { close(file) }
        lseek(file, 0, SEEK_SET)
        let ofFile = read(file, bytes)
        var ends: [Int32] = [-1, -1]
        guard bytes.count <= 64 << 10, pipe(&ends) == 0 else { return ofFile.fault }
        defer { close(ends[0]) }
        let isThere = write(ends[1], bytes, bytes.count) == bytes.count
        close(ends[1])
        guard isThere else { return "the pipe is too small" }
        let ofPipe = read(ends[0], bytes)
        // Of a file it is known beforehand that it is cut short, whatever else is wrong with it.
        guard ofFile.error == ofPipe.error || (ofFile.error == EINVAL && ofPipe.error != 0) else {
            return "errno \(ofFile.error) for a file, \(ofPipe.error) for a pipe"
        }
        return ofFile.fault ?? ofPipe.fault
    }

    private static func read(_ descriptor: Int32, _ bytes: [UInt8]) -> (
        error: Int32, fault: String?
    ) {
        var name = [CChar](repeating: 1, count: Int(BPLIB_IMAGE_NAME))
        errno = 0
        let image = bplib_read_image(descriptor, &name, name.count)
        guard image >= 0 else {
            let error = errno
            let reason = String(cString: bproc_reason())
            return (error, error == 0 || reason.isEmpty ? "refused without a reason" : nil)
        }
        defer { close(image) }
        var status = stat()
        guard fstat(image, &status) == 0, Int(status.st_size) <= bytes.count else {
            return (0, "an image longer than its input")
        }
        guard name.contains(0) else { return (0, "a name without an end") }
        var copy = [UInt8](repeating: 0, count: Int(status.st_size))
        guard pread(image, &copy, copy.count, 0) == copy.count,
            copy.elementsEqual(bytes[..<copy.count])
        else { return (0, "an image other than its input") }
        guard write(image, copy, 1) < 0 else { return (0, "an image that can be changed") }
        return (0, nil)
    }
}
