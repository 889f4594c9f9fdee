import CRestore

/// The features of an x86-64 CPU that code may have been chosen by, in eight words as CPUID answers
/// them.
public struct CPUFeatures: Equatable, Sendable {
    /// CPUID 1 ecx, 7.0 ebx, 7.0 ecx, 7.0 edx, 7.1 eax, 0x80000001 ecx, 13.1 eax, reserved.
    public var words: InlineFeatureWords

    public typealias InlineFeatureWords = (
        UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32
    )

    public init(words: InlineFeatureWords) { self.words = words }

    public static let none = CPUFeatures(words: (0, 0, 0, 0, 0, 0, 0, 0))

    /// What this CPU and this kernel support together.
    public static var local: CPUFeatures { measured.features }

    /// XCR0 of this machine: the register sets that the kernel saves.
    public static var localXSaveComponents: UInt64 { measured.components }

    private static let measured: (features: CPUFeatures, components: UInt64) = {
        var words = [UInt32](repeating: 0, count: 8)
        let components = unsafe words.withUnsafeMutableBufferPointer { buffer in
            // An array of eight always has a base address.
            unsafe bp_local_features(buffer.baseAddress!)
        }
        let features = CPUFeatures(
            words: (
                words[0], words[1], words[2], words[3], words[4], words[5], words[6], words[7]
            ))
        return (features, components)
    }()

    /// Only those that a C library or a compiler's dispatch chooses code by; bits like "runs under
    /// a hypervisor" or "has protection keys" say nothing about whether code will run.
    public var relevantToCode: CPUFeatures {
        var relevant = CPUFeatures.none
        for feature in Self.named where self[feature.word] & (1 << feature.bit) != 0 {
            relevant[feature.word] |= 1 << feature.bit
        }
        return relevant
    }

    public func subtracting(_ other: CPUFeatures) -> CPUFeatures {
        var rest = self
        for word in 0..<8 { rest[word] &= ~other[word] }
        return rest
    }

    public var isEmpty: Bool { self == .none }

    /// The names as /proc/cpuinfo has them; a bit without a name as "word1.bit21".
    public var names: [String] {
        var names: [String] = []
        for word in 0..<8 {
            for bit in 0..<32 where self[word] & (1 << bit) != 0 {
                let known = Self.named.first { $0.word == word && $0.bit == bit }
                names.append(known?.name ?? "word\(word).bit\(bit)")
            }
        }
        return names
    }

    public static func == (left: CPUFeatures, right: CPUFeatures) -> Bool {
        (0..<8).allSatisfy { left[$0] == right[$0] }
    }

    subscript(word: Int) -> UInt32 {
        get {
            switch word {
            case 0: words.0
            case 1: words.1
            case 2: words.2
            case 3: words.3
            case 4: words.4
            case 5: words.5
            case 6: words.6
            default: words.7
            }
        }
        set {
            switch word {
            case 0: words.0 = newValue
            case 1: words.1 = newValue
            case 2: words.2 = newValue
            case 3: words.3 = newValue
            case 4: words.4 = newValue
            case 5: words.5 = newValue
            case 6: words.6 = newValue
            default: words.7 = newValue
            }
        }
    }

    struct Named: Sendable {
        let word: Int
        let bit: Int
        let name: String
    }

    /// Intel SDM volume 2A, CPUID; names as the Linux kernel prints them.
    static let named: [Named] = {
        let table: [(Int, [(Int, String)])] = [
            (
                0,
                [
                    (0, "pni"), (1, "pclmulqdq"), (9, "ssse3"), (12, "fma"), (13, "cx16"),
                    (19, "sse4_1"), (20, "sse4_2"), (22, "movbe"), (23, "popcnt"), (25, "aes"),
                    (26, "xsave"), (27, "osxsave"), (28, "avx"), (29, "f16c"), (30, "rdrand"),
                ]
            ),
            (
                1,
                [
                    (0, "fsgsbase"), (3, "bmi1"), (4, "hle"), (5, "avx2"), (8, "bmi2"),
                    (9, "erms"), (11, "rtm"), (16, "avx512f"), (17, "avx512dq"), (18, "rdseed"),
                    (19, "adx"), (21, "avx512ifma"), (23, "clflushopt"), (24, "clwb"),
                    (28, "avx512cd"), (29, "sha_ni"), (30, "avx512bw"), (31, "avx512vl"),
                ]
            ),
            (
                2,
                [
                    (1, "avx512vbmi"), (6, "avx512_vbmi2"), (8, "gfni"), (9, "vaes"),
                    (10, "vpclmulqdq"), (11, "avx512_vnni"), (12, "avx512_bitalg"),
                    (14, "avx512_vpopcntdq"), (22, "rdpid"),
                ]
            ),
            (
                3,
                [
                    (4, "fsrm"), (8, "avx512_vp2intersect"), (22, "amx_bf16"),
                    (23, "avx512_fp16"), (24, "amx_tile"), (25, "amx_int8"),
                ]
            ),
            (4, [(4, "avx_vnni"), (5, "avx512_bf16"), (10, "fzrm"), (11, "fsrs"), (12, "fsrc")]),
            (5, [(0, "lahf_lm"), (5, "abm"), (6, "sse4a"), (8, "3dnowprefetch")]),
            (6, [(0, "xsaveopt"), (1, "xsavec")]),
        ]
        return table.flatMap { word, bits in
            bits.map { Named(word: word, bit: $0.0, name: $0.1) }
        }
    }()
}
