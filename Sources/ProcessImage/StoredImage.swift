import CRestore
import CSystem
public import System

/// Why a file is not an image, or not a whole one.
public enum StoredImageError: Error, Equatable, Sendable, CustomStringConvertible {
    case system(SystemCallError)
    case image(ImageError)

    public var description: String {
        switch self {
        case .system(let error): error.description
        case .image(let error): error.description
        }
    }
}

/// An image in a file: its header read and checked, its data still unread.
public struct StoredImage: ~Copyable {
    private let descriptor: OwnedDescriptor
    public let header: ImageHeader

    public init(path: String) throws(StoredImageError) {
        let file = try Self.open(path)
        header = try Self.header(of: file)
        descriptor = file
    }

    private static func open(_ path: String) throws(StoredImageError) -> OwnedDescriptor {
        OwnedDescriptor(
            adopting: Int32(try systemCall("open", unsafe bp_image_open(path, 0))))
    }

    private static func systemCall(
        _ operation: String, _ result: Int
    ) throws(StoredImageError) -> Int {
        do {
            return try check(operation, result)
        } catch {
            throw .system(error)
        }
    }

    private static func header(
        of file: borrowing OwnedDescriptor
    ) throws(StoredImageError) -> ImageHeader {
        let length = try systemCall("read", bp_file_size(file.number))
        let start = try bytes(of: file, 0..<min(ImageHeader.peekByteCount, length))
        let byteCount = try imageCall { () throws(ImageError) in
            try unsafe ImageHeader.prefixByteCount(of: start.span.bytes)
        }
        // A header may promise 64 MiB: only what the file has is read.
        let prefix = try bytes(of: file, 0..<min(byteCount, length))
        return try imageCall { () throws(ImageError) in
            let header = try unsafe ImageHeader.parse(prefix: prefix.span.bytes)
            guard header.totalByteCount <= length else {
                throw .cutShort(part: "data", byteCount: length, needed: header.totalByteCount)
            }
            return header
        }
    }

    private static func imageCall<Result>(
        _ body: () throws(ImageError) -> Result
    ) throws(StoredImageError) -> Result {
        do throws(ImageError) {
            return try body()
        } catch {
            throw .image(error)
        }
    }

    /// Reads all data and compares it with its checksums.
    public func verify() throws(StoredImageError) {
        for block in 0..<header.blockCount {
            let bytes = try Self.bytes(of: descriptor, header.fileRange(ofBlock: block))
            do throws(ImageError) {
                try unsafe header.verify(block: block, bytes: bytes.span.bytes)
            } catch {
                throw .image(error)
            }
        }
    }

    /// A piece of the file; shorter where the file ends.
    private static func bytes(
        of file: borrowing OwnedDescriptor, _ range: Range<Int>
    ) throws(StoredImageError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: range.count)
        var done = 0
        while done < bytes.count {
            let got = try systemCall(
                "read",
                unsafe bytes.withUnsafeMutableBytes { buffer in
                    // Not empty, so it has an address.
                    unsafe bp_image_read_at(
                        file.number, buffer.baseAddress! + done, buffer.count - done,
                        UInt64(range.lowerBound + done))
                })
            if got == 0 { break }
            done += got
        }
        return Array(bytes[..<done])
    }
}
