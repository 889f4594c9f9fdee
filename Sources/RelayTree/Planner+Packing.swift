// Whether an image should be packed before it is sent.
extension Planner {
    /// The share of the time that packing must save at least: what the sample of an image, and the
    /// costs of a network that may be busier or idler than they say, can be wrong by.
    public static let leastPackingGain = 0.05

    /// Whether an image that shrinks to `ratio` of its size arrives earlier packed, the time to
    /// pack it included.
    ///
    /// - Parameters:
    ///   - nodeCount: nodes that receive, at least 1.
    ///   - imageByteCount: bytes of the image as it is, at least 1.
    ///   - ratio: packed bytes for each of them; what is not below 1 never pays.
    public static func packingPays(
        nodeCount: Int, imageByteCount: UInt64, ratio: Double, costs: CostModel
    ) -> Bool {
        guard ratio < 1 else { return false }
        let asItIs = plan(nodeCount: nodeCount, imageByteCount: imageByteCount, costs: costs)
        let packedByteCount = max(1, UInt64(Double(imageByteCount) * max(0, ratio)))
        let packed = plan(
            nodeCount: nodeCount, imageByteCount: packedByteCount,
            unpackedByteCount: imageByteCount, costs: costs)
        let packing = Double(imageByteCount) * costs.nodeWork.packNanosecondsPerByte
        return packing + Double(packed.predictedNanoseconds)
            < Double(asItIs.predictedNanoseconds) * (1 - leastPackingGain)
    }
}
