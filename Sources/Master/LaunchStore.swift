import Host
package import Link
package import MasterCore
package import Relay
import System
package import Wire

/// What the master holds: its decisions, and the images it is the root for.
package final class LaunchStore: RelayStore {
    struct Entry {
        let image: LaunchImage
        let order: LaunchOrder
    }

    package var state: MasterState
    var entries: [UInt64: Entry] = [:]
    /// By then whoever waited has heard.
    var retired = Retirement<LaunchImage>(delayNanoseconds: 20_000_000, byteLimit: 64 << 20)

    init(state: MasterState) { self.state = state }

    func closeImage(of launch: UInt64, now: UInt64) {
        guard let entry = entries.removeValue(forKey: launch) else { return }
        retired.add(entry.image, byteCount: entry.image.byteCount, now: now)
    }

    /// Nothing comes to the root in chunks.
    package func destination(for header: FrameHeader, from link: LinkID)
        -> UnsafeMutableRawBufferPointer?
    {
        nil
    }

    package func chunkGrows(_ header: FrameHeader, receivedByteCount: Int) {}

    package func byteCount(after header: FrameHeader) -> Int { 0 }

    package func source(ofChunk chunk: UInt32, launch: UInt64) -> ChunkSource? {
        guard let entry = entries[launch], chunk < entry.order.chunkCount else { return nil }
        let range = entry.order.byteRange(ofChunk: chunk)
        return ChunkSource(
            descriptor: entry.image.file.number, offset: range.lowerBound, byteCount: range.count)
    }
}
