import CRestore

/// The tables behind the header, read and checked against each other.
struct ImageTables {
    private(set) var regions: [ImageHeader.Region] = []
    private(set) var files: [bp_image_file] = []
    private(set) var slots: [bp_image_slot] = []
    private(set) var checksums: [UInt64] = []

    private let raw: bp_image_header

    init(raw: bp_image_header, prefix: borrowing RawSpan) throws(ImageError) {
        self.raw = raw
        try checkBlobs()
        let rawRegions: [bp_image_region] = try load(
            "region table", raw.regions, from: prefix, atMost: Int(BP_IMAGE_REGIONS_MAX))
        let runs: [bp_image_run] = try load(
            "run table", raw.runs, from: prefix, atMost: Int(BP_IMAGE_RUNS_MAX))
        try readRegions(rawRegions, runs: runs)
        files = try load(
            "file table", raw.files, from: prefix, atMost: Int(BP_IMAGE_FILES_MAX))
        slots = try load(
            "slot table", raw.slots, from: prefix, atMost: Int(BP_IMAGE_SLOTS_MAX))
        let signals: [bp_image_signal] = try load(
            "signal table", raw.signals, from: prefix, atMost: Int(BP_IMAGE_SIGNALS_MAX))
        let dataByteCount = raw.total_byte_count - raw.prefix_byte_count
        let block = UInt64(raw.checksum_block_byte_count)
        let blockCount = Int((dataByteCount + block - 1) / block)
        try expectCount("checksum table", raw.checksums, blockCount...blockCount)
        checksums = try load("checksum table", raw.checksums, from: prefix, atMost: blockCount)
        try checkFiles(in: prefix)
        try checkStack()
        for signal in signals {
            try FixedHeader.check("signal number", UInt64(signal.number), 1...64, aligned: false)
        }
    }

    /// Tables that are plain bytes: only their place and size matter here.
    private func checkBlobs() throws(ImageError) {
        try checkPlace("register frame", raw.frame, element: 1)
        try expectCount("register frame", raw.frame, Int(BP_IMAGE_FRAME)...Int(BP_IMAGE_FRAME))
        try checkPlace("auxiliary vector", raw.auxv, element: 16)
        try expectCount("auxiliary vector", raw.auxv, 1...Int(BP_IMAGE_AUXV_MAX))
        try checkPlace("stack content", raw.stack, element: 1)
        try checkPlace("vDSO copy", raw.vdso, element: 1)
        let vdso = Int(raw.vdso_byte_count)
        try expectCount("vDSO copy", raw.vdso, vdso...vdso)
    }

    private func expectCount(
        _ name: String, _ table: bp_image_table, _ range: ClosedRange<Int>
    ) throws(ImageError) {
        try FixedHeader.check(
            "\(name): element count", UInt64(table.count),
            UInt64(range.lowerBound)...UInt64(range.upperBound), aligned: false)
    }

    /// A table lies behind the code and inside the prefix, with elements of the size that we know.
    private func checkPlace(
        _ name: String, _ table: bp_image_table, element: Int
    ) throws(ImageError) {
        let size = UInt64(element)
        try FixedHeader.check(
            "\(name): element byte count", UInt64(table.element_byte_count), size...size,
            aligned: false)
        let byteCount = UInt64(table.count) * size  // both fit in 32 bits
        try FixedHeader.check(
            "\(name): byte count", byteCount, 0...(raw.prefix_byte_count - raw.code_byte_count),
            aligned: false)
        try FixedHeader.check(
            "\(name): offset", table.offset,
            raw.code_byte_count...(raw.prefix_byte_count - byteCount), aligned: false)
        if table.offset % 8 != 0 {
            throw .outOfBounds(
                field: "\(name): offset modulo 8", value: table.offset % 8, lowest: 0, highest: 0)
        }
    }

    private func load<Element: BitwiseCopyable>(
        _ name: String, _ table: bp_image_table, from prefix: borrowing RawSpan, atMost limit: Int
    ) throws(ImageError) -> [Element] {
        let size = MemoryLayout<Element>.size
        try checkPlace(name, table, element: size)
        try expectCount(name, table, 0...limit)
        var elements: [Element] = []
        elements.reserveCapacity(Int(table.count))
        for index in 0..<Int(table.count) {
            elements.append(
                unsafe prefix.unsafeLoadUnaligned(
                    fromByteOffset: Int(table.offset) + index * size, as: Element.self))
        }
        return elements
    }

    /// Regions ascend and do not overlap each other, the home or the vDSO; their runs ascend inside
    /// them, and lie one behind the other in the file.
    private mutating func readRegions(
        _ rawRegions: [bp_image_region], runs: [bp_image_run]
    ) throws(ImageError) {
        let home =
            raw.base_address..<(raw.base_address + raw.prefix_byte_count + raw.scratch_byte_count)
        let vdsoStart = raw.vvar_byte_count == 0 ? raw.vdso_address : raw.vvar_address
        let vdso = vdsoStart..<max(vdsoStart, raw.vdso_address + raw.vdso_byte_count)
        if home.overlaps(vdso) {
            throw .regionOverlaps(vdsoStart, what: "the stub", at: home.lowerBound)
        }
        var previousEnd: UInt64 = 0
        var fileCursor = raw.prefix_byte_count
        var runCursor = 0
        regions.reserveCapacity(rawRegions.count)
        for region in rawRegions {
            let span = try checkRegion(region)
            if let last = regions.last, span.lowerBound < previousEnd {
                throw .regionsOverlap(last.address, span.lowerBound)
            }
            if span.overlaps(home) {
                throw .regionOverlaps(span.lowerBound, what: "the stub", at: home.lowerBound)
            }
            if span.overlaps(vdso) {
                throw .regionOverlaps(span.lowerBound, what: "the vDSO", at: vdso.lowerBound)
            }
            previousEnd = span.upperBound
            let fileOffset = fileCursor
            try readRuns(
                of: region, span: span, runs: runs, runCursor: &runCursor, fileCursor: &fileCursor)
            regions.append(
                ImageHeader.Region(
                    address: region.address, byteCount: region.byte_count,
                    protection: region.protection,
                    isStack: region.kind == BP_IMAGE_REGION_STACK.rawValue,
                    dataByteCount: fileCursor - fileOffset, hash: region.hash,
                    fileOffset: fileOffset))
        }
        guard fileCursor == raw.total_byte_count else {
            throw .outOfBounds(
                field: "total byte count", value: raw.total_byte_count, lowest: fileCursor,
                highest: fileCursor)
        }
        guard runCursor == runs.count else {
            throw .outOfBounds(
                field: "runs that belong to a region", value: UInt64(runCursor),
                lowest: UInt64(runs.count), highest: UInt64(runs.count))
        }
    }

    private func checkRegion(_ region: bp_image_region) throws(ImageError) -> Range<UInt64> {
        let end = BP_IMAGE_USER_END
        let page = UInt64(BP_IMAGE_PAGE)
        try FixedHeader.check("region address", region.address, page...(end - page), aligned: true)
        try FixedHeader.check(
            "byte count of region \(hex(region.address))", region.byte_count,
            page...(end - region.address), aligned: true)
        try FixedHeader.check("region protection", UInt64(region.protection), 0...7, aligned: false)
        try FixedHeader.check("region kind", UInt64(region.kind), 0...1, aligned: false)
        try FixedHeader.check("region flags", UInt64(region.flags), 0...3, aligned: false)
        switch region.bytes {
        case BP_IMAGE_BYTES_INLINE.rawValue: break
        case BP_IMAGE_BYTES_BY_REFERENCE.rawValue: throw .bytesByReference(region: region.address)
        default:
            throw .outOfBounds(
                field: "region bytes", value: UInt64(region.bytes), lowest: 0, highest: 1)
        }
        return region.address..<(region.address + region.byte_count)
    }

    private func readRuns(
        of region: bp_image_region, span: Range<UInt64>, runs: [bp_image_run],
        runCursor: inout Int, fileCursor: inout UInt64
    ) throws(ImageError) {
        // The counts are 32 bits wide: the sum cannot overflow.
        let end = Int(region.first_run) + Int(region.run_count)
        guard Int(region.first_run) == runCursor, end <= runs.count else {
            throw .outOfBounds(
                field: "first run of region \(hex(region.address))",
                value: UInt64(region.first_run), lowest: UInt64(runCursor),
                highest: UInt64(runs.count))
        }
        if region.kind == BP_IMAGE_REGION_STACK.rawValue && region.run_count != 0 {
            // A stack mapped from a file would not grow.
            throw .runOutsideRegion(run: runs[runCursor].address, region: region.address)
        }
        var previous: bp_image_run?
        for run in runs[runCursor..<end] {
            try FixedHeader.check(
                "run address", run.address, span.lowerBound...(span.upperBound - 1), aligned: true)
            let page = UInt64(BP_IMAGE_PAGE)
            try FixedHeader.check(
                "byte count of run \(hex(run.address))", run.byte_count,
                page...raw.total_byte_count, aligned: true)
            guard run.byte_count <= span.upperBound - run.address else {
                throw .runOutsideRegion(run: run.address, region: region.address)
            }
            if let previous, run.address < previous.address + previous.byte_count {
                throw .runsOverlap(previous.address, run.address)
            }
            guard run.file_offset == fileCursor,
                run.byte_count <= raw.total_byte_count - fileCursor
            else {
                throw .outOfBounds(
                    field: "file offset of run \(hex(run.address))", value: run.file_offset,
                    lowest: fileCursor, highest: raw.total_byte_count - page)
            }
            fileCursor += run.byte_count
            previous = run
        }
        runCursor = end
    }

    private func checkFiles(in prefix: borrowing RawSpan) throws(ImageError) {
        for file in files {
            try FixedHeader.check(
                "descriptor of an embedded file", UInt64(file.descriptor), 3...1023, aligned: false)
            try FixedHeader.check(
                "byte count of an embedded file", file.byte_count,
                0...(raw.prefix_byte_count - raw.code_byte_count), aligned: false)
            try FixedHeader.check(
                "name byte count of an embedded file", UInt64(file.name_byte_count), 0...255,
                aligned: false)
            let name = file.name_byte_count == 0 ? 0 : Int(file.name_byte_count) + 1
            try FixedHeader.check(
                "offset of an embedded file", file.offset,
                raw
                    .code_byte_count...max(
                        raw.code_byte_count,
                        raw.prefix_byte_count
                            - min(
                                file.byte_count + UInt64(name), raw.prefix_byte_count)),
                aligned: false)
            for index in 0..<name {
                let byte = unsafe prefix.unsafeLoad(
                    fromByteOffset: Int(file.offset + file.byte_count) + index, as: UInt8.self)
                let isLast = index == name - 1
                guard byte != UInt8(ascii: "/"), (byte == 0) == isLast else {
                    throw .outOfBounds(
                        field: "a byte of an embedded file's name", value: UInt64(byte), lowest: 0,
                        highest: 255)
                }
            }
        }
    }

    /// Frame, content and slots are written by the stub: they must lie in the one stack, a caller's
    /// place in writable memory.
    private func checkStack() throws(ImageError) {
        let stacks = regions.filter(\.isStack)
        guard stacks.count == 1, let stack = stacks.first, stack.protection & 3 == 3 else {
            throw .noStack
        }
        let span = stack.address..<(stack.address + stack.byteCount)
        try inside(span, "stack content", raw.stack_address, UInt64(raw.stack.count))
        try inside(span, "register frame", raw.frame_address, UInt64(BP_IMAGE_FRAME))
        if raw.frame_address % 64 != 0 {
            throw .outsideStack(field: "register frame (unaligned)", address: raw.frame_address)
        }
        for slot in slots {
            try FixedHeader.check("slot kind", UInt64(slot.kind), 1...5, aligned: false)
            if slot.kind == BP_IMAGE_SLOT_PLACE.rawValue {
                let byteCount = UInt64(BP_IMAGE_PLACE_BYTES)
                try FixedHeader.check(
                    "slot byte count", UInt64(slot.byte_count), byteCount...byteCount,
                    aligned: false)
                try writable("place", slot.address, byteCount)
                continue
            }
            try FixedHeader.check(
                "slot byte count", UInt64(slot.byte_count), 1...4096, aligned: false)
            try inside(span, "slot", slot.address, UInt64(slot.byte_count))
        }
        for (field, address, byteCount) in [
            ("thread id", raw.thread_id_address, UInt64(4)), ("rseq area", raw.rseq_address, 16),
        ] where address != 0 {
            try writable(field, address, byteCount)
        }
    }

    private func inside(
        _ span: Range<UInt64>, _ field: String, _ address: UInt64, _ byteCount: UInt64
    ) throws(ImageError) {
        guard address >= span.lowerBound, address <= span.upperBound,
            byteCount <= span.upperBound - address
        else { throw .outsideStack(field: field, address: address) }
    }

    private func writable(
        _ field: String, _ address: UInt64, _ byteCount: UInt64
    ) throws(ImageError) {
        let lies = regions.contains {
            $0.protection & 3 == 3 && address >= $0.address
                && address - $0.address <= $0.byteCount
                && byteCount <= $0.byteCount - (address - $0.address)
        }
        guard lies else {
            throw .outOfBounds(
                field: "\(field) (not in writable memory)", value: address, lowest: 0, highest: 0)
        }
    }
}
