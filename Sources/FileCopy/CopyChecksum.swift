import CChecksum

/// The checksum of a file: XXH3 of the XXH3s of its mebibytes, so that it can be taken piece by
/// piece.
public struct CopyChecksum: Sendable {
    public static let pieceByteCount = 1 << 20

    private var sums: [UInt8] = []

    public init() {}

    /// - Parameter piece: a whole mebibyte; only the last may be shorter.
    public mutating func add(_ piece: ArraySlice<UInt8>) {
        let sum = unsafe piece.withUnsafeBytes { unsafe bp_xxh3($0.baseAddress, $0.count) }
        sums.append(little: sum)
    }

    public var value: UInt64 {
        unsafe sums.withUnsafeBytes { unsafe bp_xxh3($0.baseAddress, $0.count) }
    }
}
