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

    /// All that have a name, as the restore code lists them.
    static let named: [Named] = {
        var found: [Named] = []
        var number: UInt32 = 0
        while let name = unsafe bp_feature_name(UInt32(found.count), &number) {
            found.append(
                Named(
                    word: Int(number / 32), bit: Int(number % 32),
                    name: unsafe String(cString: name)))
        }
        return found
    }()
}
