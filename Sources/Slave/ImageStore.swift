import Host
package import Link
package import Relay
package import SlaveCore
import System
package import Wire

/// What a slave holds: its decisions, and the images they are about. Links ask it where chunks
/// belong.
package final class ImageStore: RelayStore {
    package var state: SlaveState
    /// Images that come chunk by chunk.
    var images: [UInt64: ReceivedImage] = [:]
    /// Images of launches that programs of this node have asked for.
    var ownImages: [UInt64: OwnImage] = [:]

    init(state: SlaveState) { self.state = state }

    package func destination(for header: FrameHeader, from link: LinkID)
        -> UnsafeMutableRawBufferPointer?
    {
        guard state.wants(chunk: header.subject, launch: header.launch, from: link),
            let image = images[header.launch]
        else { return nil }
        return unsafe image.place(ofChunk: header.subject, byteCount: header.bodyByteCount)
    }

    package func chunkGrows(_ header: FrameHeader, receivedByteCount: Int) {
        images[header.launch]?.examine(chunk: header.subject, receivedByteCount: receivedByteCount)
    }

    package func byteCount(after header: FrameHeader) -> Int {
        guard let order = images[header.launch]?.order, header.subject + 1 < order.chunkCount
        else { return 0 }
        return FrameHeader.byteCount + order.byteRange(ofChunk: header.subject + 1).count
    }

    package func source(ofChunk chunk: UInt32, launch: UInt64) -> ChunkSource? {
        held(launch)?.source(ofChunk: chunk)
    }

    func held(_ launch: UInt64) -> (any HeldImage)? { images[launch] ?? ownImages[launch] }
}
