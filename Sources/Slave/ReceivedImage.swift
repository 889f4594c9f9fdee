import CSystem
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
/// before it counts as held.
///
/// An image that travels as it is lies in the slot from its start. Of a packed one the slot holds
/// both: first the image, then, from a page boundary, the packed file that the chunks are of.
final class ReceivedImage: HeldImage {
    enum Verdict {
        case stored
        /// The chunk is right, and shows that this node cannot run the image.
        case refused(stage: LaunchStage, errorNumber: Int32, reason: String)
        case damaged(reason: String)
    }

    let order: LaunchOrder
    let slot: ImageArena.Slot
    private(set) var header: ImageHeader?
    /// Why this node cannot run the image, until that has been said.
    private var refusal: String?
    /// Checksum blocks of the data part that are verified.
    private var verifiedBlockCount = 0
    private(set) var completeNanoseconds: UInt64 = 0
    /// nil: the image travels as it is.
    private var arrival: PackedArrival?
    /// Where the chunks begin in the slot.
    private let chunkPlace: Int
    /// Bytes of the chunks that are checked.
    private var heldByteCount = 0

    init(order: LaunchOrder, slot: ImageArena.Slot) {
        self.order = order
        self.slot = slot
        arrival = order.unpackedByteCount > 0 ? PackedArrival() : nil
        chunkPlace = order.chunkPlace
    }

    var isPacked: Bool { arrival != nil }

    /// Memory for one chunk's body, or nil if the frame does not fit the image.
    func place(ofChunk chunk: UInt32, byteCount: UInt32) -> UnsafeMutableRawBufferPointer? {
        guard chunk < order.chunkCount else { return nil }
        let range = order.byteRange(ofChunk: chunk)
        guard range.count == Int(byteCount) else { return nil }
        let start = chunkPlace + range.lowerBound
        return unsafe UnsafeMutableRawBufferPointer(
            rebasing: slot.bytes[start..<(start + range.count)])
    }

    func restoreSource(arena: borrowing ImageArena) -> RestorePlan.ImageSource {
        slot.name.map { .file(name: $0, directory: arena.directoryDescriptor) }
            ?? .descriptor(slot.descriptor)
    }

    /// The whole image in a file of its own that can be executed, and that nobody can change.
    func sealedCopy() throws(SystemCallError) -> OwnedDescriptor {
        let number = try System.check(
            "create a file for an image", unsafe bp_image_file("bproc-image", 1))
        let file = OwnedDescriptor(adopting: Int32(number))
        let image = unsafe bytes(0..<order.wholeByteCount)
        try System.check(
            "copy an image",
            unsafe bp_image_write(file.number, image.baseAddress!, image.count))
        try System.check("seal an image", bp_image_seal(file.number))
        return file
    }

    func source(ofChunk chunk: UInt32) -> ChunkSource {
        let range = order.byteRange(ofChunk: chunk)
        return ChunkSource(
            descriptor: slot.descriptor, offset: chunkPlace + range.lowerBound,
            byteCount: range.count)
    }

    /// Checks blocks of a chunk that is still coming. What is wrong is said when the chunk is
    /// complete: the same block is wrong again then.
    func examine(chunk: UInt32, receivedByteCount: Int) {
        guard arrival == nil else { return }
        let start = order.byteRange(ofChunk: chunk).lowerBound
        try? advance(byteCount: start + receivedByteCount)
    }

    /// Checks what became complete with `chunk`.
    func check(chunk: UInt32) -> Verdict {
        let heldByteCount = order.byteRange(ofChunk: chunk).upperBound
        guard arrival == nil else { return checkPacked(chunk: chunk, heldByteCount) }
        do throws(ImageError) {
            return try checkImage(byteCount: heldByteCount)
        } catch {
            return .damaged(reason: "chunk \(chunk): \(error)")
        }
    }

    /// Checks the image's first bytes, as far as they are here.
    private func checkImage(byteCount: Int) throws(ImageError) -> Verdict {
        try advance(byteCount: byteCount)
        if byteCount == order.wholeByteCount { completeNanoseconds = Clock.monotonicNanoseconds }
        // ENOEXEC: the image is not for this machine.
        guard let reason = refusal.take() else { return .stored }
        return .refused(stage: .header, errorNumber: 8, reason: reason)
    }

    /// Reads the header if it is there, and verifies the blocks that are complete.
    private func advance(byteCount: Int) throws(ImageError) {
        let held = unsafe RawSpan(_unsafeBytes: bytes(0..<byteCount))
        if header == nil {
            guard let header = try readHeader(held) else { return }
            self.header = header
            let missing = header.missingFeatures(on: .local)
            if !missing.isEmpty {
                refusal = "the CPU lacks \(missing.joined(separator: ", "))"
            }
        }
        if let header { try verifyBlocks(held, header: header) }
    }

    private func readHeader(_ held: borrowing RawSpan) throws(ImageError) -> ImageHeader? {
        guard held.byteCount >= ImageHeader.peekByteCount else { return nil }
        let totalByteCount = try ImageHeader.totalByteCount(of: held)
        guard totalByteCount == order.wholeByteCount else {
            throw .cutShort(part: "image", byteCount: order.wholeByteCount, needed: totalByteCount)
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

    // MARK: Packed

    private func checkPacked(chunk: UInt32, _ heldByteCount: Int) -> Verdict {
        do throws(PackedImageError) {
            let held = unsafe RawSpan(
                _unsafeBytes: bytes(chunkPlace..<(chunkPlace + heldByteCount)))
            try arrival?.check(
                held, packedByteCount: Int(order.imageByteCount),
                unpackedByteCount: order.wholeByteCount)
        } catch {
            return .damaged(reason: "chunk \(chunk): \(error)")
        }
        self.heldByteCount = heldByteCount
        return .stored
    }

    /// Unpacks what has come of a packed image, and checks it. What is wrong here was wrong before
    /// it was sent: this node cannot run it, but what it has passed on is what its parent has.
    func unpack() -> Verdict {
        guard arrival != nil else { return .stored }
        do {
            let held = unsafe RawSpan(
                _unsafeBytes: bytes(chunkPlace..<(chunkPlace + heldByteCount)))
            // The slot outlives this call, and nothing else writes the image's place.
            var image = unsafe MutableRawSpan(
                _unsafeBytes: UnsafeMutableRawBufferPointer(
                    rebasing: slot.bytes[..<order.wholeByteCount]))
            let byteCount = try arrival!.unpack(held, into: &image)
            return try checkImage(byteCount: byteCount)
        } catch {
            return .refused(
                stage: .receive, errorNumber: FailureCode.badMessage, reason: "\(error)")
        }
    }

    /// The slot's memory outlives the calls that look at it, and only this thread writes it.
    private func bytes(_ range: Range<Int>) -> UnsafeRawBufferPointer {
        unsafe UnsafeRawBufferPointer(rebasing: slot.bytes[range])
    }
}

extension LaunchOrder {
    private static let pageByteCount = 4096

    /// Bytes of the image, however it travels.
    var wholeByteCount: Int { Int(unpackedByteCount > 0 ? unpackedByteCount : imageByteCount) }

    /// Where a node keeps what comes in chunks: behind the image's own place if it is packed.
    var chunkPlace: Int {
        guard unpackedByteCount > 0 else { return 0 }
        return (Int(unpackedByteCount) + Self.pageByteCount - 1) & ~(Self.pageByteCount - 1)
    }

    /// Bytes of a slot. Both counts are below 2^46, so their sum is a number.
    var slotByteCount: Int { chunkPlace + Int(imageByteCount) }
}
