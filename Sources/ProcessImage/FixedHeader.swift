import CRestore

/// The header of fixed size, with every field checked that can be checked by itself.
struct FixedHeader {
    let raw: bp_image_header
    let home: Range<UInt64>
    let name: String

    static let offset = Int(BP_IMAGE_HEADER_OFFSET)
    static let byteCount = MemoryLayout<bp_image_header>.size
    /// Behind magic, version, architecture and the two sizes.
    static let hashFieldOffset = offset + 32

    init(_ bytes: borrowing RawSpan) throws(ImageError) {
        let needed = Self.offset + Self.byteCount
        guard bytes.byteCount >= needed else {
            throw .cutShort(part: "header", byteCount: bytes.byteCount, needed: needed)
        }
        let raw = unsafe bytes.unsafeLoadUnaligned(
            fromByteOffset: Self.offset, as: bp_image_header.self)
        guard raw.magic == BP_IMAGE_MAGIC else { throw .notAnImage(magic: raw.magic) }
        guard raw.version == BP_IMAGE_VERSION else {
            throw .unknownVersion(raw.version, known: BP_IMAGE_VERSION)
        }
        guard raw.architecture == BP_IMAGE_ARCHITECTURE_X86_64 else {
            throw .otherArchitecture(raw.architecture, here: BP_IMAGE_ARCHITECTURE_X86_64)
        }
        let page = UInt64(BP_IMAGE_PAGE)
        try Self.check(
            "prefix byte count", raw.prefix_byte_count, 3 * page...UInt64(BP_IMAGE_PREFIX_MAX),
            aligned: true)
        try Self.check(
            "total byte count", raw.total_byte_count,
            raw.prefix_byte_count...UInt64(BP_IMAGE_TOTAL_MAX), aligned: true)
        try Self.check(
            "checksum block byte count", UInt64(raw.checksum_block_byte_count), page...(1 << 20),
            aligned: true)
        try Self.check(
            "code byte count", raw.code_byte_count, 2 * page...(raw.prefix_byte_count - page),
            aligned: true)
        try Self.check(
            "scratch byte count", raw.scratch_byte_count, UInt64(BP_IMAGE_SCRATCH)...(1 << 20),
            aligned: true)
        try Self.check(
            "stub entry", UInt64(raw.stub_entry), page...(raw.code_byte_count - 1), aligned: false)
        let homeByteCount = raw.prefix_byte_count + raw.scratch_byte_count
        try Self.check(
            "base address", raw.base_address,
            BP_IMAGE_LOWEST_ADDRESS...(BP_IMAGE_USER_END - homeByteCount), aligned: true)
        let home = raw.base_address..<(raw.base_address + homeByteCount)
        let restorer = BP_RESTORER_ADDRESS..<(BP_RESTORER_ADDRESS + BP_RESTORER_RANGE)
        guard !home.overlaps(restorer) else { throw .stubOverlapsRestorer(raw.base_address) }
        try Self.checkAddresses(raw)
        self.raw = raw
        self.home = home
        name = try Self.name(raw)
    }

    /// Addresses that the stub writes to or hands to the kernel.
    private static func checkAddresses(_ raw: bp_image_header) throws(ImageError) {
        let highest = BP_IMAGE_USER_END - 1
        for (field, value) in [
            ("brk", raw.brk), ("fs base", raw.fs_base), ("gs base", raw.gs_base),
            ("thread id address", raw.thread_id_address),
            ("robust list address", raw.robust_list_address),
            ("rseq address", raw.rseq_address), ("vDSO address", raw.vdso_address),
            ("vvar address", raw.vvar_address),
        ] {
            try check(field, value, 0...highest, aligned: false)
        }
        try check("vDSO address", raw.vdso_address, 0...highest, aligned: true)
        try check("vvar address", raw.vvar_address, 0...highest, aligned: true)
        try check("vDSO byte count", raw.vdso_byte_count, 0...(1 << 16), aligned: true)
        try check("vvar byte count", raw.vvar_byte_count, 0...(1 << 16), aligned: true)
    }

    static func check(
        _ field: String, _ value: UInt64, _ range: ClosedRange<UInt64>, aligned: Bool
    ) throws(ImageError) {
        guard range.contains(value) else {
            throw .outOfBounds(
                field: field, value: value, lowest: range.lowerBound, highest: range.upperBound)
        }
        if aligned && value % UInt64(BP_IMAGE_PAGE) != 0 {
            throw .notPageAligned(field: field, value: value)
        }
    }

    private static func name(_ raw: bp_image_header) throws(ImageError) -> String {
        let bytes = unsafe withUnsafeBytes(of: raw.name) { unsafe [UInt8]($0) }
        guard let end = bytes.firstIndex(of: 0) else { throw .badName }
        return String(decoding: bytes[..<end], as: UTF8.self)
    }
}
