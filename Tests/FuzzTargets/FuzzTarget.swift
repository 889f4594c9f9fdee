import Wire
import WireSamples

/// One reader of bytes that somebody else has written.
public struct FuzzTarget: Sendable {
    public let name: String
    /// Valid inputs, from which the saved corpus was made.
    public let seeds: @Sendable () -> [[UInt8]]
    /// Reads the bytes; they may be refused, but not by a trap.
    /// - Returns: what is wrong with the value that was read, or nil.
    public let run: @Sendable ([UInt8]) -> String?
    /// Makes a checksum right again, so that what lies behind it is reached too.
    public let repair: @Sendable (inout [UInt8]) -> Void
    /// Runs of the short test; long inputs cost more each.
    public let runCount: Int
    /// Where most of the damage goes in inputs that are mostly payload.
    public let focus: [Range<Int>]

    public init(
        _ name: String, runCount: Int = 20_000, focus: [Range<Int>] = [],
        seeds: @escaping @Sendable () -> [[UInt8]],
        repair: @escaping @Sendable (inout [UInt8]) -> Void = { _ in },
        run: @escaping @Sendable ([UInt8]) -> String?
    ) {
        self.name = name
        self.runCount = runCount
        self.focus = focus
        self.seeds = seeds
        self.repair = repair
        self.run = run
    }

    /// The input of one numbered run: the same for ever, as long as the corpus is.
    public func input(seed: UInt64, corpus: [[UInt8]]) -> [UInt8] {
        var mutator = Mutator(seed: seed, focus: focus)
        var bytes = mutator.mutated(corpus)
        // A damaged checksum must be met as well.
        if seed % 16 != 0 { repair(&bytes) }
        return bytes
    }

    public static var all: [FuzzTarget] {
        messages + imageTargets + undumpTargets + packedTargets + textTargets + localTargets
            + jobTargets
            + stateTargets + copyTargets
    }

    /// The messages of the wire: what was understood says the same when it is said again.
    static let messages: [FuzzTarget] = WireMessage.all.map { message in
        FuzzTarget(
            message.name,
            seeds: {
                var samples = MessageSamples(seed: 1)
                return (0..<6).map { _ in message.sample(&samples) }
            },
            run: { bytes in
                guard let first = try? message.recode(bytes) else { return nil }
                guard let second = try? message.recode(first) else {
                    return "the encoded value does not decode"
                }
                return first == second ? nil : "the encoded value decodes to another one"
            })
    }
}
