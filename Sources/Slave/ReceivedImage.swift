import Host
import Link
import ProcessImage
import Relay
import System
import Wire

/// The whole image of one launch, or as much of it as there is: chunks are sent from it, and when
/// it is complete ranks are started from it.
protocol HeldImage: AnyObject {
    var order: LaunchOrder { get }
    /// When it was complete, in CLOCK_MONOTONIC nanoseconds.
    var completeNanoseconds: UInt64 { get }
    /// What a restorer opens.
    func restoreSource(arena: borrowing ImageArena) -> RestorePlan.ImageSource
    /// Where a chunk lies in its file.
    func source(ofChunk chunk: UInt32) -> ChunkSource
}

/// The image of a launch that a program of this node has asked for: its own file, sealed.
final class OwnImage: HeldImage {
    let order: LaunchOrder
    let completeNanoseconds: UInt64
    private let image: LaunchImage

    init(order: LaunchOrder, image: LaunchImage, now: UInt64) {
        self.order = order
        self.image = image
        completeNanoseconds = now
    }

    func restoreSource(arena: borrowing ImageArena) -> RestorePlan.ImageSource {
        .descriptor(image.file.number)
    }

    func source(ofChunk chunk: UInt32) -> ChunkSource {
        let range = order.byteRange(ofChunk: chunk)
        return ChunkSource(
            descriptor: image.file.number, offset: range.lowerBound, byteCount: range.count)
    }
}

/// The image of one launch as it arrives: a slot of the arena, filled chunk by chunk, each checked
/// against the image's own checksums before it counts as held.
final class ReceivedImage: HeldImage {
    enum Verdict {
        case stored
        /// The chunk is right and completes a header that this node cannot run.
        case refused(errorNumber: Int32, reason: String)
        case damaged(reason: String)
    }

    let order: LaunchOrder
    let slot: ImageArena.Slot
    private(set) var header: ImageHeader?
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

    func restoreSource(arena: borrowing ImageArena) -> RestorePlan.ImageSource {
        slot.name.map { .file(name: $0, directory: arena.directoryDescriptor) }
            ?? .descriptor(slot.descriptor)
    }

    func source(ofChunk chunk: UInt32) -> ChunkSource {
        let range = order.byteRange(ofChunk: chunk)
        return ChunkSource(
            descriptor: slot.descriptor, offset: range.lowerBound, byteCount: range.count)
    }

    /// Checks what became complete with `chunk`.
    func check(chunk: UInt32) -> Verdict {
        let heldByteCount = order.byteRange(ofChunk: chunk).upperBound
        // The slot's memory outlives this call, and only this thread writes it.
        let held = unsafe RawSpan(
            _unsafeBytes: UnsafeRawBufferPointer(rebasing: slot.bytes[..<heldByteCount]))
        var refusal: String?
        do throws(ImageError) {
            if header == nil {
                guard let header = try readHeader(held) else { return .stored }
                self.header = header
                let missing = header.missingFeatures(on: .local)
                if !missing.isEmpty {
                    refusal = "the CPU lacks \(missing.joined(separator: ", "))"
                }
            }
            if let header { try verifyBlocks(held, header: header) }
        } catch {
            return .damaged(reason: "chunk \(chunk): \(error)")
        }
        if heldByteCount == Int(order.imageByteCount) {
            completeNanoseconds = Clock.monotonicNanoseconds
        }
        // ENOEXEC: the image is not for this machine.
        if let refusal { return .refused(errorNumber: 8, reason: refusal) }
        return .stored
    }

    private func readHeader(_ held: borrowing RawSpan) throws(ImageError) -> ImageHeader? {
        guard held.byteCount >= ImageHeader.peekByteCount else { return nil }
        let totalByteCount = try ImageHeader.totalByteCount(of: held)
        guard totalByteCount == Int(order.imageByteCount) else {
            throw .cutShort(
                part: "image", byteCount: Int(order.imageByteCount), needed: totalByteCount)
        }
        guard try ImageHeader.prefixByteCount(of: held) <= held.byteCount else { return nil }
        return try ImageHeader.parse(prefix: held)
    }

    private func verifyBlocks(
        _ held: borrowing RawSpan, header: ImageHeader
    ) throws(ImageError) {
        while verifiedBlockCount < header.blockCount {
            let range = header.fileRange(ofBlock: verifiedBlockCount)
            guard range.upperBound <= held.byteCount else { return }
            try header.verify(block: verifiedBlockCount, bytes: held.extracting(range))
            verifiedBlockCount += 1
        }
    }
}
