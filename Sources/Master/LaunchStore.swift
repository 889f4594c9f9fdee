import Link
import MasterCore
import Relay
import System
import Wire

/// What the master holds: its decisions, and the images it is the root for.
struct LaunchStore: ChunkStore, ~Copyable {
    struct Entry {
        let image: LaunchImage
        let order: LaunchOrder
    }

    var state: MasterState
    var entries: [UInt64: Entry] = [:]

    /// Nothing comes to the root in chunks.
    mutating func destination(for header: FrameHeader, from link: LinkID)
        -> UnsafeMutableRawBufferPointer?
    {
        nil
    }

    func byteCount(after header: FrameHeader) -> Int { 0 }

    func source(ofChunk chunk: UInt32, launch: UInt64) -> ChunkSource? {
        guard let entry = entries[launch], chunk < entry.order.chunkCount else { return nil }
        let range = entry.order.byteRange(ofChunk: chunk)
        return ChunkSource(
            descriptor: entry.image.file.number, offset: range.lowerBound, byteCount: range.count)
    }
}
