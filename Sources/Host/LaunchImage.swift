import CSystem
import ProcessImage
package import System

/// The image of one launch as its caller handed it over, as it is or packed: sealed, so that it
/// cannot change while it is sent by reference. Header and tables are checked before the first node
/// is asked to take it. What each node that receives it checks anyhow is left to the nodes: here it
/// would only be time that the nodes wait.
package final class LaunchImage {
    package let file: OwnedDescriptor
    /// What travels.
    package let byteCount: Int
    /// Bytes of the image if the file is a packed one. Its checksums have been verified; what it
    /// unpacks to is checked where that happens, on the nodes.
    package let unpackedByteCount: Int?
    /// What this machine's processor would need to have to run it; of a packed image nothing is
    /// known.
    package let missingFeatures: [String]

    /// F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE
    private static let neededSeals = 0x2 | 0x4 | 0x8

    package init(file: consuming OwnedDescriptor) throws(LaunchImageError) {
        let seals = bp_seals(file.number)
        guard seals >= 0, seals & Self.neededSeals == Self.neededSeals else { throw .notSealed }
        let byteCount = bp_file_size(file.number)
        guard byteCount > 0 else { throw .tooShort(byteCount) }
        do {
            let mapping = try OwnedMapping(
                of: file.number, byteCount: byteCount, isWritable: false)
            // The mapping lives to the end of this scope, and the seals keep its bytes as they are.
            let bytes = unsafe RawSpan(_unsafeBytes: UnsafeRawBufferPointer(mapping.bytes))
            if PackedHeader.isPacked(bytes) {
                unpackedByteCount = try Self.checkPacked(bytes)
                missingFeatures = []
            } else {
                unpackedByteCount = nil
                missingFeatures = try Self.check(bytes).missingFeatures(on: .local)
            }
            _ = mapping.byteCount
        } catch let error as LaunchImageError {
            throw error
        } catch {
            throw .invalid("\(error)")
        }
        self.file = file
        self.byteCount = byteCount
    }

    private static func check(
        _ bytes: borrowing RawSpan
    ) throws(LaunchImageError) -> ImageHeader {
        guard bytes.byteCount >= ImageHeader.peekByteCount else {
            throw .tooShort(bytes.byteCount)
        }
        do throws(ImageError) {
            let header = try ImageHeader.parse(prefix: bytes)
            guard header.totalByteCount == bytes.byteCount else {
                throw ImageError.cutShort(
                    part: "image", byteCount: bytes.byteCount, needed: header.totalByteCount)
            }
            return header
        } catch {
            throw .invalid("\(error)")
        }
    }

    /// Verifies the checksums of the data, for a node that starts ranks from this very file.
    package func verify() throws(LaunchImageError) {
        do {
            let mapping = try OwnedMapping(
                of: file.number, byteCount: byteCount, isWritable: false)
            let bytes = unsafe RawSpan(_unsafeBytes: UnsafeRawBufferPointer(mapping.bytes))
            try ImageHeader.parse(prefix: bytes).verify(image: bytes)
            _ = mapping.byteCount
        } catch {
            throw .invalid("\(error)")
        }
    }

    private static func checkPacked(_ bytes: borrowing RawSpan) throws(LaunchImageError) -> Int {
        do throws(PackedImageError) {
            let header = try PackedHeader.parse(prefix: bytes)
            guard header.packedByteCount == bytes.byteCount else {
                throw PackedImageError.cutShort(
                    part: "file", byteCount: bytes.byteCount, needed: header.packedByteCount)
            }
            try header.verify(file: bytes)
            return header.unpackedByteCount
        } catch {
            throw .invalid("\(error)")
        }
    }
}

package enum LaunchImageError: Error, CustomStringConvertible {
    case notSealed
    case tooShort(Int)
    case invalid(String)
    case isPacked

    package var description: String {
        switch self {
        case .notSealed: "the image is not sealed against change"
        case .tooShort(let byteCount): "\(byteCount) bytes are not an image"
        case .invalid(let reason): "the image is damaged: \(reason)"
        case .isPacked: "a launch from a node takes images as they are, not packed ones"
        }
    }
}
