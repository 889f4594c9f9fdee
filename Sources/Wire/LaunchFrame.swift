/// The body of a launch frame: the order's bytes as they came, and the receiver's own subtree.
public struct LaunchFrame: Equatable, Sendable {
    /// The encoded `LaunchOrder`, passed on untouched from relay to relay.
    public var orderBytes: [UInt8]
    public var subtree: RelaySubtree
    /// How long the launch has been under way, by the root's clock, when the frame is sent.
    public var elapsedMicroseconds: UInt32

    public static let orderByteLimit = 1 << 20

    public init(orderBytes: [UInt8], subtree: RelaySubtree, elapsedMicroseconds: UInt32 = 0) {
        self.orderBytes = orderBytes
        self.subtree = subtree
        self.elapsedMicroseconds = elapsedMicroseconds
    }

    public init(order: LaunchOrder, subtree: RelaySubtree) {
        var writer = WireWriter()
        order.write(to: &writer)
        self.init(orderBytes: writer.bytes, subtree: subtree)
    }

    /// - Parameter holder: the receiver's program that brought the image, where the receiver is the
    ///   root of the tree although the launch comes from the master.
    public func frame(launch: UInt64, isAdoption: Bool, holder: UInt32? = nil) -> [UInt8] {
        var writer = WireWriter(reservingByteCount: 8 + orderBytes.count + subtree.bytes.count)
        writer.write(elapsedMicroseconds)
        writer.write(UInt32(orderBytes.count))
        writer.write(orderBytes)
        writer.write(subtree.bytes)
        var header = FrameHeader(.launch, launch: launch, flags: isAdoption ? .adoption : [])
        if let holder {
            header.subject = holder
            header.flags.insert(.rooted)
        }
        return FrameHeader.frame(header, body: writer.bytes)
    }

    public init(decoding body: [UInt8]) throws(WireError) {
        var reader = WireReader(body)
        elapsedMicroseconds = try reader.read(UInt32.self, "time under way")
        let orderByteCount = try reader.readCount(
            elementByteCount: 1, limit: Self.orderByteLimit, "order byte count")
        orderBytes = try reader.readBytes(orderByteCount, "order")
        guard reader.remainingByteCount <= RelaySubtree.byteLimit else {
            throw .countTooLarge(
                field: "subtree byte count", count: UInt64(reader.remainingByteCount),
                limit: UInt64(RelaySubtree.byteLimit))
        }
        subtree = try RelaySubtree(
            validating: try reader.readBytes(reader.remainingByteCount, "subtree"))
    }

    public func decodeOrder() throws(WireError) -> LaunchOrder {
        var reader = WireReader(orderBytes)
        let order = try LaunchOrder(from: &reader)
        try reader.finish()
        return order
    }
}

extension LaunchFrame {
    /// The bytes of an order, as every launch frame of its tree carries them.
    public static func encode(_ order: LaunchOrder) -> [UInt8] {
        var writer = WireWriter()
        order.write(to: &writer)
        return writer.bytes
    }
}
