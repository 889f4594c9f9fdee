import CRestore
import CSystem
import System

/// Writes the image of a program that is stopped: lays out the file, reads the memory
/// into it, then the tables.
struct ImageWriter: ~Copyable {
    private var file: ImageFile
    private var header = bp_image_header()
    private let state: ProcessState
    private let subject: ImageSubject
    private let plan: MemoryPlan
    private let stackContent: [UInt8]
    private var regions: [bp_image_region] = []
    private var runs: [bp_image_run] = []
    private let codeByteCount: Int
    private let prefixByteCount: Int
    private let home: UInt64
    private var cursor: Int
    private let page = Int(BP_IMAGE_PAGE)
    /// Of two segments and PT_GNU_STACK.
    private static let programHeaderByteCount = 3 * ElfHeader.programHeaderByteCount

    /// Plans the file; nothing of the memory is read yet but the stack.
    init(subject: ImageSubject, state: ProcessState) throws(CaptureError) {
        let page = Int(BP_IMAGE_PAGE)
        let plan = try MemoryPlan(
            of: state.files, lines: state.lines, usesScan: subject.means.usesPageScan)
        let stack = try UsedStack(plan: plan, stackPointer: state.registers.rsp)
        let stackContent = try ProcessMemory(pid: state.files.pid).bytes(
            stack.start, count: Int(stack.end - stack.start))
        let code = RestoreCode()
        // The program headers are the code's last bytes: exec then refuses a file that is cut off
        // inside the code, and every other one can say what is wrong with it.
        let codeByteCount =
            page + (code.bytes.count + Self.programHeaderByteCount + page - 1) / page * page
        let tables =
            stackContent.count + state.auxiliaryVector.count + state.vdso.count
            + Int(BP_IMAGE_FRAME) + plan.areas.count * MemoryLayout<bp_image_region>.size
            + plan.mostRuns * MemoryLayout<bp_image_run>.size
            + (plan.byteCount / Int(BP_IMAGE_CHECKSUM_BLOCK) + 1) * 8
            + subject.embeddedFiles.reduce(0) { $0 + $1.bytes.count + $1.name.count + 64 } + 8192
        let prefix = codeByteCount + (tables + page - 1) / page * page
        guard prefix <= Int(BP_IMAGE_PREFIX_MAX) else {
            throw .tooLarge(
                part: "arguments, environment and tables", byteCount: UInt64(prefix),
                limit: UInt64(BP_IMAGE_PREFIX_MAX))
        }
        let homeByteCount = UInt64(prefix) + UInt64(BP_IMAGE_SCRATCH)
        let home = try plan.hole(of: homeByteCount, beside: state.lines)
        file = try ImageFile(name: subject.name, capacity: prefix + plan.byteCount)
        self.state = state
        self.subject = subject
        self.plan = plan
        self.stackContent = stackContent
        self.codeByteCount = codeByteCount
        self.home = home
        prefixByteCount = prefix
        cursor = prefix
        fillHeader(stack)
        writeCode(code)
    }

    /// Reads all memory and writes the tables. Answers the sizes of the file and its prefix.
    mutating func writeAll() throws(CaptureError) -> (total: Int, prefix: Int) {
        var reader = MemoryReader(of: state.files)
        for area in plan.areas { try write(area, &reader) }
        writeTables()
        return (cursor, prefixByteCount)
    }

    /// Gives the finished file away.
    consuming func finish() throws(CaptureError) -> OwnedDescriptor {
        let byteCount = cursor
        return try file.seal(byteCount: byteCount)
    }

    private mutating func fillHeader(_ stack: UsedStack) {
        header.magic = BP_IMAGE_MAGIC
        header.version = BP_IMAGE_VERSION
        header.architecture = BP_IMAGE_ARCHITECTURE_X86_64
        header.prefix_byte_count = UInt64(prefixByteCount)
        header.checksum_block_byte_count = BP_IMAGE_CHECKSUM_BLOCK
        header.flags = subject.hasStarted ? BP_IMAGE_STARTED.rawValue : 0
        header.base_address = home
        header.code_byte_count = UInt64(codeByteCount)
        header.scratch_byte_count = UInt64(BP_IMAGE_SCRATCH)
        header.register_origin = BP_IMAGE_ORIGIN_STOPPED.rawValue
        let stat = state.stat
        let field = { (number: Int) in number < stat.count ? stat[number] : 0 }
        header.start_code = field(26)
        header.end_code = field(27)
        header.start_stack = field(28)
        header.start_data = field(45)
        header.end_data = field(46)
        header.start_brk = field(47)
        header.brk = state.brk
        header.argument_start = field(48)
        header.argument_end = field(49)
        header.environment_start = field(50)
        header.environment_end = field(51)
        header.fs_base = state.registers.fs_base
        header.gs_base = state.registers.gs_base
        header.thread_id_address = state.threadIDAddress
        header.thread_id = UInt32(state.files.pid)
        header.robust_list_address = state.robustList.address
        header.robust_list_byte_count = state.robustList.byteCount
        header.rseq_address = state.restartableSequence.address
        header.rseq_byte_count = state.restartableSequence.byte_count
        header.rseq_signature = state.restartableSequence.signature
        header.frame_address = stack.frameAddress
        header.stack_address = stack.start
        if let vdso = state.lines.first(where: \.isVdso) {
            let vvar = state.lines.first { $0.name.starts(with: Array("[vvar".utf8)) }
            header.vdso_address = vdso.start
            header.vdso_byte_count = vdso.byteCount
            header.vvar_address = vvar?.start ?? vdso.start
            header.vvar_byte_count = vdso.start - (vvar?.start ?? vdso.start)
        }
        // The linker has chosen functions by this CPU; a program that has not run will choose on
        // the node.
        let chosenBy = subject.hasStarted ? CPUFeatures.local.relevantToCode : .none
        header.features = chosenBy.subtracting(subject.hiddenFeatures).words
        header.xsave_components = CPUFeatures.localXSaveComponents
        unsafe withUnsafeMutableBytes(of: &header.name) { name in
            for (index, byte) in subject.name.utf8.prefix(15).enumerated() {
                unsafe name[index] = byte
            }
        }
    }

    private mutating func writeCode(_ code: RestoreCode) {
        let scratch = home + UInt64(prefixByteCount)
        let placed = code.placed(
            base: home, scratch: scratch, stackEnd: scratch + UInt64(BP_IMAGE_SCRATCH))
        header.stub_entry = UInt32(page + code.stubEntry)
        let elf = ElfHeader(
            entry: home + UInt64(page + code.directEntry),
            segments: [
                ElfHeader.Segment(
                    address: home, fileOffset: 0, fileByteCount: UInt64(codeByteCount),
                    memoryByteCount: UInt64(codeByteCount), protection: 5),
                ElfHeader.Segment(
                    address: home + UInt64(codeByteCount), fileOffset: UInt64(codeByteCount),
                    fileByteCount: UInt64(prefixByteCount - codeByteCount),
                    memoryByteCount: UInt64(prefixByteCount - codeByteCount)
                        + UInt64(BP_IMAGE_SCRATCH), protection: 3),
            ], programHeaderOffset: codeByteCount - Self.programHeaderByteCount)
        unsafe file.write(elf.bytes.span.bytes, at: 0)
        unsafe file.write(placed.span.bytes, at: page)
        unsafe file.write(elf.programHeaders.span.bytes, at: elf.programHeaderOffset)
    }

    /// One mapping of the program: its content piece by piece, each zero-checked as it is read.
    private mutating func write(
        _ area: MemoryPlan.Area, _ reader: inout MemoryReader
    ) throws(CaptureError) {
        var region = bp_image_region()
        region.address = area.line.start
        region.byte_count = area.line.byteCount
        region.protection = area.line.protection
        region.kind =
            area.line.isStack ? BP_IMAGE_REGION_STACK.rawValue : BP_IMAGE_REGION_MEMORY.rawValue
        if area.isSparse { region.flags |= BP_IMAGE_REGION_NORESERVE.rawValue }
        if area.line.isShared { region.flags |= BP_IMAGE_REGION_WAS_SHARED.rawValue }
        region.bytes = BP_IMAGE_BYTES_INLINE.rawValue
        region.first_run = UInt32(runs.count)
        let start = cursor
        for range in area.ranges {
            var address = range.lowerBound
            while address < range.upperBound {
                let count = min(Int(range.upperBound - address), MemoryPlan.pieceByteCount)
                file.populate(cursor..<(cursor + count))
                let kept = try unsafe file.withBytes(
                    cursor..<(cursor + count)
                ) { bytes throws(CaptureError) in
                    try unsafe reader.read(address, into: bytes)
                    return unsafe ZeroPages.compact(bytes)
                }
                for piece in kept {
                    append(
                        address: address + UInt64(piece.lowerBound * page),
                        byteCount: piece.count * page, firstRun: Int(region.first_run))
                }
                address += UInt64(count)
            }
        }
        region.run_count = UInt32(runs.count) - region.first_run
        region.hash = cursor == start ? 0 : file.checksum(start..<cursor)
        regions.append(region)
    }

    /// Notes bytes that have just been written at the cursor; a run goes on where the last one
    /// ended.
    private mutating func append(address: UInt64, byteCount: Int, firstRun: Int) {
        if let last = runs.last, runs.count > firstRun, last.address + last.byte_count == address {
            runs[runs.count - 1].byte_count += UInt64(byteCount)
        } else {
            var run = bp_image_run()
            run.address = address
            run.byte_count = UInt64(byteCount)
            run.file_offset = UInt64(cursor)
            runs.append(run)
        }
        cursor += byteCount
    }

    private mutating func writeTables() {
        header.total_byte_count = UInt64(cursor)
        var at = codeByteCount
        header.regions = put(regions, at: &at)
        header.runs = put(runs, at: &at)
        header.frame = put(state.frame.bytes(at: header.frame_address), at: &at)
        header.auxv = put(state.auxiliaryVector, at: &at)
        header.auxv.count /= 16
        header.auxv.element_byte_count = 16
        header.signals = put(state.signals, at: &at)
        header.stack = put(stackContent, at: &at)
        header.vdso = put(state.vdso, at: &at)
        var files: [bp_image_file] = []
        for embedded in subject.embeddedFiles {
            let place = put(embedded.bytes + embedded.name + [0], at: &at)
            var file = bp_image_file()
            file.offset = place.offset
            file.byte_count = UInt64(embedded.bytes.count)
            file.descriptor = embedded.descriptor
            file.name_byte_count = UInt32(embedded.name.count)
            files.append(file)
        }
        header.files = put(files, at: &at)
        header.slots = put(slots(), at: &at)
        var checksums: [UInt64] = []
        for start in stride(from: prefixByteCount, to: cursor, by: Int(BP_IMAGE_CHECKSUM_BLOCK)) {
            let end = min(start + Int(BP_IMAGE_CHECKSUM_BLOCK), cursor)
            checksums.append(file.checksum(start..<end))
        }
        header.checksums = put(checksums, at: &at)
        precondition(at <= prefixByteCount, "the tables were sized before")
        putHeader()
        header.prefix_hash = file.prefixChecksum(
            byteCount: prefixByteCount, fieldOffset: FixedHeader.hashFieldOffset)
        putHeader()
    }

    private mutating func putHeader() {
        unsafe file.write([header].span.bytes, at: FixedHeader.offset)
    }

    private mutating func put<Element: BitwiseCopyable>(
        _ elements: [Element], at offset: inout Int
    ) -> bp_image_table {
        offset = (offset + 15) & ~15
        let size = MemoryLayout<Element>.size
        var table = bp_image_table()
        table.offset = UInt64(offset)
        table.count = UInt32(elements.count)
        table.element_byte_count = UInt32(size)
        unsafe file.write(elements.span.bytes, at: offset)
        offset += elements.count * size
        return table
    }

    /// The places that every rank gets for itself: strings in the initial stack.
    private func slots() -> [bp_image_slot] {
        var slots: [bp_image_slot] = []
        let add = { (address: UInt64, kind: bp_image_slot_kind, byteCount: Int) in
            guard slots.count < Int(BP_IMAGE_SLOTS_MAX) else { return }
            slots.append(
                bp_image_slot(
                    address: address, kind: kind.rawValue, byte_count: UInt32(byteCount)))
        }
        let rank = Array("BPROC_RANK=XXXXXXX".utf8)
        let socket = SocketPlaceholder.name
        let base = header.stack_address
        var at = Int(clamping: header.environment_start &- base)
        let end = min(Int(clamping: header.environment_end &- base), stackContent.count)
        while at >= 0, at < end {
            let stop = stackContent[at..<end].firstIndex(of: 0) ?? end
            let string = stackContent[at..<stop]
            if string.elementsEqual(rank) {
                add(base + UInt64(at + rank.count - 7), BP_IMAGE_SLOT_RANK, 7)
            } else if string.starts(with: socket) {
                add(
                    base + UInt64(at + socket.count), BP_IMAGE_SLOT_SOCKET,
                    string.count - socket.count)
            }
            at = stop + 1
        }
        for embedded in subject.embeddedFiles where !embedded.suffix.isEmpty {
            guard let address = argument(embedded.path) else { continue }
            add(
                address + UInt64(embedded.descriptorPath.count), BP_IMAGE_SLOT_NAME,
                embedded.suffix.count)
        }
        if header.flags & BP_IMAGE_STARTED.rawValue == 0, let random = state.auxiliary(25),
            random >= base, random < base + UInt64(stackContent.count) - 16
        {
            add(random, BP_IMAGE_SLOT_RANDOM, 16)
        }
        return slots
    }

    /// The address of the first argument that reads so.
    private func argument(_ text: [UInt8]) -> UInt64? {
        let base = header.stack_address
        var at = Int(clamping: header.argument_start &- base)
        let end = min(Int(clamping: header.argument_end &- base), stackContent.count)
        while at >= 0, at < end {
            let stop = stackContent[at..<end].firstIndex(of: 0) ?? end
            if stackContent[at..<stop].elementsEqual(text) { return base + UInt64(at) }
            at = stop + 1
        }
        return nil
    }
}
