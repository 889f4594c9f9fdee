import CSystem
import ProcessImage
package import System

/// The image of one launch as its caller handed it over: sealed, so that it cannot change while it
/// is sent by reference, and checked before the first node is asked to take it.
package final class LaunchImage {
    package let file: OwnedDescriptor
    package let byteCount: Int
    /// What this machine's processor would need to have to run it.
    package let missingFeatures: [String]

    /// F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE
    private static let neededSeals = 0x2 | 0x4 | 0x8

    package init(file: consuming OwnedDescriptor) throws(LaunchImageError) {
        let seals = bp_seals(file.number)
        guard seals >= 0, seals & Self.neededSeals == Self.neededSeals else { throw .notSealed }
        let byteCount = bp_file_size(file.number)
        guard byteCount >= ImageHeader.peekByteCount else { throw .tooShort(byteCount) }
        do {
            let mapping = try OwnedMapping(
                of: file.number, byteCount: byteCount, isWritable: false)
            // The mapping lives to the end of this scope, and the seals keep its bytes as they are.
            let bytes = unsafe RawSpan(_unsafeBytes: UnsafeRawBufferPointer(mapping.bytes))
            let header = try ImageHeader.parse(prefix: bytes)
            guard header.totalByteCount == byteCount else {
                throw ImageError.cutShort(
                    part: "image", byteCount: byteCount, needed: header.totalByteCount)
            }
            try header.verify(image: bytes)
            missingFeatures = header.missingFeatures(on: .local)
            _ = mapping.byteCount
        } catch let error as ImageError {
            throw .invalid("\(error)")
        } catch {
            throw .invalid("\(error)")
        }
        self.file = file
        self.byteCount = byteCount
    }
}

package enum LaunchImageError: Error, CustomStringConvertible {
    case notSealed
    case tooShort(Int)
    case invalid(String)

    package var description: String {
        switch self {
        case .notSealed: "the image is not sealed against change"
        case .tooShort(let byteCount): "\(byteCount) bytes are not an image"
        case .invalid(let reason): "the image is damaged: \(reason)"
        }
    }
}
