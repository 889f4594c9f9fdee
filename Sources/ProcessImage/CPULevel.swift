/// A level of the x86-64 architecture (System V ABI, x86-64 psABI): what a cluster's oldest node
/// has. A program that is captured for a level lets its C library choose by that level only.
public enum CPULevel: String, Sendable, CaseIterable, Comparable {
    case v1 = "x86-64"
    case v2 = "x86-64-v2"
    case v3 = "x86-64-v3"
    case v4 = "x86-64-v4"

    private static let addedNames: [CPULevel: [String]] = [
        // Saving the registers of whatever is there: the linker does, on every level.
        .v1: ["xsave", "osxsave"],
        .v2: ["pni", "ssse3", "cx16", "sse4_1", "sse4_2", "popcnt", "lahf_lm"],
        .v3: ["fma", "movbe", "avx", "f16c", "bmi1", "avx2", "bmi2", "abm"],
        .v4: ["avx512f", "avx512dq", "avx512cd", "avx512bw", "avx512vl"],
    ]

    /// Names that glibc knows for its choice (the tunable glibc.cpu.hwcaps); it does not choose by
    /// others.
    private static let tunableNames: [(feature: String, tunable: String)] = [
        ("ssse3", "SSSE3"), ("sse4_1", "SSE4_1"), ("sse4_2", "SSE4_2"), ("popcnt", "POPCNT"),
        ("fma", "FMA"), ("movbe", "MOVBE"), ("avx", "AVX"), ("bmi1", "BMI1"), ("avx2", "AVX2"),
        ("bmi2", "BMI2"), ("abm", "LZCNT"), ("erms", "ERMS"), ("rtm", "RTM"),
        ("xsavec", "XSAVEC"), ("avx512f", "AVX512F"), ("avx512dq", "AVX512DQ"),
        ("avx512cd", "AVX512CD"), ("avx512bw", "AVX512BW"), ("avx512vl", "AVX512VL"),
    ]

    public static func < (left: CPULevel, right: CPULevel) -> Bool {
        left.rawValue < right.rawValue
    }

    /// The features of this level and of those below.
    private var names: Set<String> {
        let below = Self.allCases.prefix { $0 != self } + [self]
        return Set(below.flatMap { Self.addedNames[$0] ?? [] })
    }

    /// The features of this machine that the level does not have.
    var hiddenFeatures: CPUFeatures {
        var hidden = CPUFeatures.none
        let local = CPUFeatures.local.relevantToCode
        for feature in CPUFeatures.named where !names.contains(feature.name) {
            hidden[feature.word] |= local[feature.word] & (1 << feature.bit)
        }
        return hidden
    }

    /// The value of glibc.cpu.hwcaps that keeps glibc to the level.
    package var hardwareCapabilities: String {
        let names = names
        return Self.tunableNames.filter { !names.contains($0.feature) }.map { "-" + $0.tunable }
            .joined(separator: ",")
    }
}
