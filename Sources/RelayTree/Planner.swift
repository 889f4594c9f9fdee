/// How to send one image: the planner's answer.
public struct PlanChoice: Equatable, Sendable {
    /// Children of one member; never more than there are nodes, and at least 1.
    public let fanOut: Int
    /// Bytes of the image in one chunk.
    public let chunkByteCount: UInt32
    /// From the first byte sent to the last byte stored on the last node.
    public let predictedNanoseconds: UInt64
}

/// Chooses fan-out and chunk for one launch by trying every combination in the model: some 110
/// evaluations of a closed formula, nothing allocated.
public enum Planner {
    /// The fan-outs that are tried.
    public static let fanOuts = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 60]
    /// The smallest and largest chunk that are tried, and every power of two between them.
    public static let chunkByteCounts: ClosedRange<UInt32> = (16 << 10)...(8 << 20)

    /// The fastest way to bring an image to all nodes.
    ///
    /// - Parameters:
    ///   - nodeCount: nodes that receive; the root has the image and does not count. At least 1.
    ///   - imageByteCount: bytes that travel, at least 1.
    ///   - unpackedByteCount: what each node makes of them if the image is packed.
    ///   - fanOut: taken as it is when a user asks for one; 1 … .
    ///   - chunkByteCount: likewise.
    ///
    /// Of equals the first in the order tried wins: small fan-outs before large ones, small chunks
    /// before large ones.
    public static func plan(
        nodeCount: Int, imageByteCount: UInt64, unpackedByteCount: UInt64? = nil,
        costs: CostModel, fanOut: Int? = nil, chunkByteCount: UInt32? = nil
    ) -> PlanChoice {
        precondition(nodeCount >= 1 && imageByteCount >= 1, "somebody has to receive something")
        precondition(fanOut ?? 1 >= 1 && chunkByteCount ?? 1 >= 1, "forced values start at 1")
        var best: PlanChoice?
        func consider(fanOut: Int, chunkByteCount: UInt32) {
            let nanoseconds = predictedNanoseconds(
                nodeCount: nodeCount, imageByteCount: imageByteCount,
                unpackedByteCount: unpackedByteCount, fanOut: fanOut,
                chunkByteCount: chunkByteCount, costs: costs)
            // Whole nanoseconds; a bound keeps the conversion in range for absurd costs.
            let rounded = UInt64(min(nanoseconds, 1e18)) + 1
            guard best.map({ rounded < $0.predictedNanoseconds }) ?? true else { return }
            best = PlanChoice(
                fanOut: fanOut, chunkByteCount: chunkByteCount, predictedNanoseconds: rounded)
        }
        func considerChunks(fanOut: Int) {
            var chunk = chunkByteCount ?? chunkByteCounts.lowerBound
            repeat {
                consider(fanOut: fanOut, chunkByteCount: chunk)
                chunk *= 2
            } while chunkByteCount == nil && chunk <= chunkByteCounts.upperBound
        }
        if let fanOut {
            considerChunks(fanOut: min(fanOut, nodeCount))
        } else {
            for candidate in fanOuts where candidate <= nodeCount {
                considerChunks(fanOut: candidate)
            }
        }
        // A fan-out of 1 fits every list of nodes, so there always is a best.
        return best!
    }

    /// The model: time from the first byte sent to the last byte stored.
    ///
    /// Two bounds hold at once, and the larger one decides.
    ///
    /// - The pipeline: D·L + (D + n − 1)·s for depth D and n chunks, where the step s is the
    ///   slowest of the wire, k(o + c/B_up) or one flow's o + c/B_flow, and of one daemon's
    ///   processor time for a chunk. (Store and forward per chunk; for daemons that cost nothing
    ///   this is the k-ary row of the LogGP literature.)
    /// - The host: all processor time of the daemons on one host over its cores, the time that the
    ///   tree takes to fill, and the wait of a last child for its k − 1 siblings. Work grows with
    ///   the number of members that pass anything on, ceil(N/k), and with the number of chunks;
    ///   bytes that leave the cache between send and receive cost more.
    ///
    /// To both comes the time to find memory for an image that is larger than what nodes keep
    /// ready: once per level of the tree, and for every node of a host.
    public static func predictedNanoseconds(
        nodeCount: Int, imageByteCount: UInt64, unpackedByteCount: UInt64? = nil, fanOut: Int,
        chunkByteCount: UInt32, costs: CostModel
    ) -> Double {
        let fanOut = min(fanOut, nodeCount)
        let expansion = Double(unpackedByteCount ?? 0) / Double(imageByteCount)
        let model = ChunkModel(fanOut: Double(fanOut), expansion: expansion, costs: costs)
        let wholeChunkByteCount = min(UInt64(chunkByteCount), imageByteCount)
        let chunk = Double(wholeChunkByteCount)
        let wholeCount = Double(imageByteCount / wholeChunkByteCount)
        let rest = Double(imageByteCount % wholeChunkByteCount)
        let depth = Double(RelayPlan.depth(nodeCount: nodeCount, fanOut: fanOut))

        let allocation = allocationNanoseconds(
            byteCount: imageByteCount, unpackedByteCount: unpackedByteCount, costs: costs)
        let pipeline =
            depth * (costs.latencyNanoseconds + allocation)
            + (depth - 1 + wholeCount) * model.stepNanoseconds(chunk)
            + (rest > 0 ? model.stepNanoseconds(rest) : 0)

        let nodes = Double(nodeCount)
        let relays = Double(RelayPlan.relayCount(nodeCount: nodeCount, fanOut: fanOut))
        func work(_ byteCount: Double) -> Double {
            nodes * (model.receiveNanoseconds(byteCount) + model.forwardNanoseconds(byteCount))
                + relays * model.relayNanoseconds(byteCount)
        }
        let allWork =
            nodes * allocation + wholeCount * work(chunk) + (rest > 0 ? work(rest) : 0)
        let hostShare = min(Double(max(costs.nodesPerHost, 1)), nodes) / nodes
        let fill =
            depth
            * (costs.latencyNanoseconds + model.receiveNanoseconds(chunk)
                + model.forwardNanoseconds(chunk) + model.relayNanoseconds(chunk))
            + (Double(fanOut) - 1) * model.forwardNanoseconds(chunk)
        let host = allWork * hostShare / Double(max(costs.coresPerHost, 1)) + fill
        return max(pipeline, host)
    }

    private static func allocationNanoseconds(
        byteCount: UInt64, unpackedByteCount: UInt64?, costs: CostModel
    ) -> Double {
        let needed = Double(byteCount) + Double(unpackedByteCount ?? 0)
        guard needed > costs.nodeWork.warmByteCount else { return 0 }
        return needed * costs.nodeWork.allocateNanosecondsPerByte
    }
}

/// What one chunk costs in a tree of a given fan-out.
private struct ChunkModel {
    let fanOut: Double
    /// Bytes that a node unpacks from each byte that travels; 0: the image travels as it is.
    let expansion: Double
    let costs: CostModel

    /// Takes in, stores and, if need be, unpacks a chunk.
    func receiveNanoseconds(_ byteCount: Double) -> Double {
        let work = costs.nodeWork
        let coldShare = max(0, 1 - work.cacheByteCount / (fanOut * byteCount))
        // Rounded up by hand: rounded() calls the mathematics library, which nothing else here
        // needs.
        let pieces = byteCount / work.pieceByteCount
        let wholePieceCount = Double(UInt64(min(pieces, 1e15)))
        let pieceCount = max(1, wholePieceCount + (wholePieceCount < pieces ? 1 : 0))
        let perByte =
            work.receiveNanosecondsPerByte + coldShare * work.coldNanosecondsPerByte
            + expansion * work.unpackNanosecondsPerByte
        return byteCount * perByte + pieceCount * work.hopNanoseconds
    }

    /// Sends a chunk to one child.
    func forwardNanoseconds(_ byteCount: Double) -> Double {
        byteCount * costs.nodeWork.forwardNanosecondsPerByte
    }

    /// Makes a chunk ready for any number of children.
    func relayNanoseconds(_ byteCount: Double) -> Double {
        byteCount * costs.nodeWork.relayNanosecondsPerByte
    }

    /// How long the busiest member is busy with a chunk: its link, one flow, or its processor.
    func stepNanoseconds(_ byteCount: Double) -> Double {
        let overhead = costs.sendOverheadNanoseconds
        let uplink = fanOut * (overhead + byteCount * 1e9 / costs.uplinkBytesPerSecond)
        let flow = overhead + byteCount * 1e9 / costs.flowBytesPerSecond
        let processor =
            receiveNanoseconds(byteCount) + fanOut * forwardNanoseconds(byteCount)
            + relayNanoseconds(byteCount)
        return max(uplink, flow, processor)
    }
}
