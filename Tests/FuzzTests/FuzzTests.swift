import FuzzTargets
import Testing

/// Every reader of foreign bytes, with thousands of damaged inputs: refused or understood, never
/// a trap. A failure names its seed; `fuzz TARGET --seed N` runs it alone.
@Suite(.serialized) struct FuzzTests {
    @Test(arguments: FuzzTarget.all.map(\.name)) func survivesDamage(_ name: String) throws {
        let target = try #require(FuzzTarget.all.first { $0.name == name })
        let corpus = FuzzCorpus.inputs(of: target)
        try #require(!corpus.isEmpty, "no inputs in \(FuzzCorpus.folder(of: target))")
        CrashNote.install()
        defer { CrashNote.clear() }
        for (index, bytes) in corpus.enumerated() {
            CrashNote.set(target: "\(name), saved input", seed: UInt64(index))
            #expect(target.run(bytes) == nil, "\(name), saved input \(index)")
        }
        for seed in 0..<UInt64(target.runCount) {
            CrashNote.set(target: name, seed: seed)
            let fault = target.run(target.input(seed: seed, corpus: corpus))
            try #require(fault == nil, "\(name), seed \(seed)")
        }
    }

    /// A corpus whose inputs are all refused at the first byte would test nothing.
    @Test func savedInputsAreUnderstood() throws {
        for target in FuzzTarget.all {
            let corpus = Set(FuzzCorpus.inputs(of: target))
            for seed in target.seeds() {
                #expect(corpus.contains(seed), "\(target.name) lacks one of its valid inputs")
            }
        }
    }
}
