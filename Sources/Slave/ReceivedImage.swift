import ProcessImage
import Relay
import System
import Wire

/// The image of one launch as it arrives: a slot of the arena, filled chunk by chunk, each checked
/// against the image's own checksums before it counts as held.
final class ReceivedImage {
    enum Verdict {
        case stored
        /// The chunk is right and completes a header that this node cannot run.
        case refused(errorNumber: Int32, reason: String)
        case damaged(reason: String)
    }

    let order: LaunchOrder
    let slot: ImageArena.Slot
    private(set) var header: ImageHeader?
    private var headerIsRefused = false
    /// Checksum blocks of the data part that are verified.
    private var verifiedBlockCount = 0
    private(set) var completeNanoseconds: UInt64 = 0

    init(order: LaunchOrder, slot: ImageArena.Slot) {
        self.order = order
        self.slot = slot
    }

    /// Memory for one chunk's body, or nil if the frame does not fit the image.
    func place(ofChunk chunk: UInt32, byteCount: UInt32) -> UnsafeMutableRawBufferPointer? {
        guard chunk < order.chunkCount else { return nil }
        let range = order.byteRange(ofChunk: chunk)
        guard range.count == Int(byteCount) else { return nil }
        return unsafe UnsafeMutableRawBufferPointer(rebasing: slot.bytes[range])
    }

    func source(ofChunk chunk: UInt32) -> ChunkRange {
        let range = order.byteRange(ofChunk: chunk)
        return ChunkRange(
            descriptor: slot.descriptor, offset: range.lowerBound, byteCount: range.count)
    }

    struct ChunkRange {
        let descriptor: Int32
        let offset: Int
        let byteCount: Int
    }

    /// Checks what became complete with `chunk`.
    func check(chunk: UInt32) -> Verdict {
        let heldByteCount = order.byteRange(ofChunk: chunk).upperBound
        let held = unsafe UnsafeRawBufferPointer(rebasing: slot.bytes[..<heldByteCount])
        do throws(ImageError) {
            if header == nil {
                guard let header = unsafe try readHeader(held) else { return .stored }
                self.header = header
                if let reason = refusal(of: header) {
                    headerIsRefused = true
                    try verifyBlocks(heldByteCount: heldByteCount, header: header)
                    return .refused(errorNumber: 8, reason: reason)
                }
            }
            if let header { try verifyBlocks(heldByteCount: heldByteCount, header: header) }
        } catch {
            return .damaged(reason: "chunk \(chunk): \(error)")
        }
        if heldByteCount == Int(order.imageByteCount) {
            completeNanoseconds = Clock.monotonicNanoseconds
        }
        return .stored
    }

    private func readHeader(_ held: UnsafeRawBufferPointer) throws(ImageError) -> ImageHeader? {
        guard let prefixByteCount = unsafe try ImageHeader.prefixByteCount(of: held),
            prefixByteCount <= held.count
        else { return nil }
        let header = unsafe try ImageHeader.parse(prefix: UnsafeRawBufferPointer(rebasing: held[..<prefixByteCount]))
        guard header.totalByteCount == order.imageByteCount else {
            throw .truncated("the image says \(header.totalByteCount) bytes, the launch \(order.imageByteCount)")
        }
        return header
    }

    private func refusal(of header: ImageHeader) -> String? {
        let missing = header.missingFeatures(on: .local)
        return missing.isEmpty ? nil : "the CPU lacks \(missing.joined(separator: ", "))"
    }

    private func verifyBlocks(heldByteCount: Int, header: ImageHeader) throws(ImageError) {
        let bytes = unsafe UnsafeRawBufferPointer(slot.bytes)
        while verifiedBlockCount < header.blockCount,
            header.byteRange(ofBlock: verifiedBlockCount).upperBound <= heldByteCount
        {
            unsafe try header.verify(block: verifiedBlockCount, in: bytes)
            verifiedBlockCount += 1
        }
    }
}
