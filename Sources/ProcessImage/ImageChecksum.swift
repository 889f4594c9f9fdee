import CChecksum
import CXXHash

/// XXH3-64: finds damage at memory speed; it is no protection against an attacker.
package enum ImageChecksum {
    package static func of(_ bytes: borrowing RawSpan) -> UInt64 {
        unsafe bytes.withUnsafeBytes { buffer in
            unsafe bp_xxh3(buffer.baseAddress, buffer.count)
        }
    }

    /// The checksum of an image's prefix, whose own field (8 bytes at `fieldOffset`) counts as
    /// zero.
    package static func ofPrefix(_ bytes: borrowing RawSpan, fieldOffset: Int) -> UInt64 {
        guard let state = unsafe XXH3_createState() else { return 0 }
        defer { _ = unsafe XXH3_freeState(state) }
        var zero: UInt64 = 0
        return unsafe bytes.withUnsafeBytes { buffer in
            _ = unsafe XXH3_64bits_reset(state)
            _ = unsafe XXH3_64bits_update(state, buffer.baseAddress, fieldOffset)
            _ = unsafe XXH3_64bits_update(state, &zero, 8)
            let rest = unsafe UnsafeRawBufferPointer(rebasing: buffer[(fieldOffset + 8)...])
            _ = unsafe XXH3_64bits_update(state, rest.baseAddress, rest.count)
            return unsafe XXH3_64bits_digest(state)
        }
    }
}
