public import Relay
public import Wire

/// What happened on the links, in the order it happened.
public enum LinkEvent: Sendable {
    /// A peer connected to the listening socket and introduced itself.
    case accepted(LinkID, Hello, peer: NodeAddress)
    /// A connection asked for with `connect` stands; our hello is on its way.
    case ready(LinkID)
    /// A connection asked for with `connect` did not come about.
    case failed(LinkID, errorNumber: Int32, reason: String)
    case frame(LinkID, FrameHeader, body: [UInt8])
    /// A chunk's bytes have begun to arrive at the place the store named.
    case chunkBegins(LinkID, FrameHeader)
    /// All of a chunk's bytes lie where the store wanted them.
    case chunk(LinkID, FrameHeader)
    /// No connection can be accepted for the moment; told once a minute at most.
    case acceptingPauses(errorNumber: Int32)
    /// A link that was accepted or ready is gone; nothing more comes from it.
    case lost(LinkID, reason: String)
}

/// Where chunks come from and go to: the images that a daemon holds.
public protocol ChunkStore: ~Copyable {
    /// Where the body of this chunk frame belongs, exactly `bodyByteCount` bytes, or nil to read
    /// and drop it. The memory stays valid until the chunk event, or until the link is lost.
    mutating func destination(for header: FrameHeader, from link: LinkID)
        -> UnsafeMutableRawBufferPointer?

    /// More of a chunk has come: bytes that are still in the processor's cache, all but the last,
    /// with which the chunk event comes.
    mutating func chunkGrows(_ header: FrameHeader, receivedByteCount: Int)

    /// Bytes of the frame that will follow this chunk on its link, header included, 0 if that is
    /// not known: a hint for how long the link may sleep.
    func byteCount(after header: FrameHeader) -> Int

    /// The file and the place in it that hold a chunk, or nil if the launch is gone.
    func source(ofChunk chunk: UInt32, launch: UInt64) -> ChunkSource?
}

/// A chunk at rest in a file.
public struct ChunkSource: Sendable {
    public var descriptor: Int32
    public var offset: Int
    public var byteCount: Int
    public init(descriptor: Int32, offset: Int, byteCount: Int) {
        self.descriptor = descriptor
        self.offset = offset
        self.byteCount = byteCount
    }
}
