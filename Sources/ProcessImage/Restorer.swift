import CRestore
import CSystem
public import System

/// The restorer as a file: what a daemon executes for every rank.
public enum Restorer {
    /// Writes the restore code with an ELF header into a sealed, executable memory file (mode
    /// 0555).
    ///
    /// Once at start. Fails with EACCES where `vm.memfd_noexec` forbids executable memory files.
    public static func makeFile() throws(SystemCallError) -> OwnedDescriptor {
        let file = OwnedDescriptor(
            adopting: Int32(
                try check("create restorer file", unsafe bp_image_file("bproc-restorer", 1))))
        let code = RestoreCode()
        let page = Int(BP_IMAGE_PAGE)
        let elf = ElfHeader(
            entry: BP_RESTORER_ADDRESS + UInt64(page + code.restorerEntry),
            segments: [
                ElfHeader.Segment(
                    address: BP_RESTORER_ADDRESS, fileOffset: 0,
                    fileByteCount: UInt64(page + code.bytes.count),
                    memoryByteCount: UInt64(page + code.bytes.count), protection: 5)
            ])
        var bytes = elf.bytes + elf.programHeaders
        bytes += [UInt8](repeating: 0, count: page - bytes.count)
        bytes += code.bytes
        try check("write restorer file", unsafe bp_image_write(file.number, bytes, bytes.count))
        try check("seal restorer file", bp_image_seal(file.number))
        return file
    }
}

/// The section bp_restore of this executable: position-independent code with three entries.
struct RestoreCode {
    let bytes: [UInt8]
    let directEntry: Int
    let stubEntry: Int
    let restorerEntry: Int
    private let baseSlot: Int
    private let scratchSlot: Int
    private let stackSlot: Int

    init() {
        let code = unsafe bp_restore_code()
        bytes = unsafe [UInt8](UnsafeBufferPointer(start: code.bytes, count: code.byte_count))
        directEntry = unsafe code.direct_entry
        stubEntry = unsafe code.stub_entry
        restorerEntry = unsafe code.restorer_entry
        baseSlot = unsafe code.base_slot
        scratchSlot = unsafe code.scratch_slot
        stackSlot = unsafe code.stack_slot
    }

    /// The code for one image: with the addresses that it starts from.
    func placed(base: UInt64, scratch: UInt64, stackEnd: UInt64) -> [UInt8] {
        var code = bytes
        code.store(base, at: baseSlot)
        code.store(scratch, at: scratchSlot)
        code.store(stackEnd, at: stackSlot)
        return code
    }
}

/// The first bytes of an ELF executable for x86-64 (System V ABI, chapter 4 and 5).
struct ElfHeader {
    struct Segment {
        let address: UInt64
        let fileOffset: UInt64
        let fileByteCount: UInt64
        let memoryByteCount: UInt64
        /// PROT_ bits: read 1, write 2, execute 4.
        let protection: UInt32
    }

    let entry: UInt64
    let segments: [Segment]
    /// Where in the file the program headers lie.
    var programHeaderOffset = ElfHeader.byteCount

    static let byteCount = 64
    static let programHeaderByteCount = 56

    /// The first bytes of the file.
    var bytes: [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 64)
        bytes.replaceSubrange(0..<7, with: [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1])
        bytes.store(UInt16(2), at: 16)  // ET_EXEC
        bytes.store(UInt16(62), at: 18)  // EM_X86_64
        bytes.store(UInt32(1), at: 20)
        bytes.store(entry, at: 24)
        bytes.store(UInt64(programHeaderOffset), at: 32)
        bytes.store(UInt16(Self.byteCount), at: 52)
        bytes.store(UInt16(Self.programHeaderByteCount), at: 54)
        bytes.store(UInt16(segments.count + 1), at: 56)
        return bytes
    }

    /// PT_GNU_STACK is among them: without it the kernel would make the stack executable.
    var programHeaders: [UInt8] {
        let none = Segment(
            address: 0, fileOffset: 0, fileByteCount: 0, memoryByteCount: 0, protection: 3)
        return segments.flatMap { programHeader(type: 1, $0) }
            + programHeader(type: 0x6474_e551, none)
    }

    private func programHeader(type: UInt32, _ segment: Segment) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: Self.programHeaderByteCount)
        // ELF has execute at bit 0 and read at bit 2, mmap the other way round.
        let flags =
            (segment.protection & 1) << 2 | (segment.protection & 2)
            | (segment.protection & 4) >> 2
        bytes.store(type, at: 0)
        bytes.store(flags, at: 4)
        bytes.store(segment.fileOffset, at: 8)
        bytes.store(segment.address, at: 16)
        bytes.store(segment.address, at: 24)
        bytes.store(segment.fileByteCount, at: 32)
        bytes.store(segment.memoryByteCount, at: 40)
        bytes.store(UInt64(BP_IMAGE_PAGE), at: 48)
        return bytes
    }
}

extension [UInt8] {
    /// Writes a number, little endian, over the bytes at an offset.
    mutating func store<Number: FixedWidthInteger>(_ number: Number, at offset: Int) {
        for index in 0..<(Number.bitWidth / 8) {
            self[offset + index] = UInt8(truncatingIfNeeded: number >> (8 * index))
        }
    }
}
