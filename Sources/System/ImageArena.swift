import CSystem

/// Files for received images, on a tmpfs that is mounted nowhere. Some are kept warm: their pages
/// are there before an image comes, which saves the largest cost of receiving it (2 µs a fresh
/// page, three times that where a hypervisor has to find the memory first). As many launches as
/// there are warm slots can overlap without that cost.
///
/// A warm slot is used again only when a write lease on it is granted: then no restored process,
/// nor any descendant of one, has it open or mapped.
public struct ImageArena: ~Copyable {
    /// One image file, mapped for writing. A restored process gets its own read-only open of it.
    @safe
    public final class Slot {
        public let descriptor: Int32
        /// Its name in the arena's directory, or nil for a file without one.
        public let name: String?
        private let file: OwnedDescriptor
        private let mapping: OwnedMapping
        let isWarm: Bool
        fileprivate(set) var ownerUser: UInt32 = 0
        /// What processes may have mapped of it.
        fileprivate var neededByteCount: Int?

        fileprivate init(
            file: consuming OwnedDescriptor, mapping: consuming OwnedMapping, name: String?,
            isWarm: Bool
        ) {
            descriptor = file.number
            self.file = file
            self.mapping = mapping
            self.name = name
            self.isWarm = isWarm
        }

        public var byteCount: Int { mapping.byteCount }
        /// The whole file; valid as long as the slot.
        public var bytes: UnsafeMutableRawBufferPointer { unsafe mapping.bytes }
    }

    private let directory: OwnedDescriptor?
    /// The directory a restoring child opens a named slot in; -1 where slots have no names.
    public let directoryDescriptor: Int32
    private var free: [Slot] = []
    /// Slots that are not warm by themselves, the oldest first, and until when they are kept.
    private var kept: [(slot: Slot, untilNanoseconds: UInt64)] = []
    private var nextName: UInt64 = 0
    private let warmByteCount: Int
    private let limitByteCount: Int
    /// So many slots of at most the warm slots' size are kept beside those: two launches can follow
    /// each other in turns.
    private static let keptLimit = 2
    private static let keptNanoseconds: UInt64 = 2_000_000_000
    /// Why there is no private tmpfs, if there is none: slots are then never used again.
    public let fallbackReason: String?

    /// - Parameters:
    ///   - warmByteCount: bytes of a slot that is kept ready; images beyond that are received into
    ///     fresh pages.
    ///   - warmSlotCount: how many such slots there are.
    ///   - limitByteCount: bytes all images may take together (each, where there is no tmpfs); 0
    ///     leaves it to the kernel, which gives half of the memory.
    public init(
        warmByteCount: Int, warmSlotCount: Int = 1, limitByteCount: Int = 0
    ) throws(SystemCallError) {
        self.warmByteCount = warmByteCount
        self.limitByteCount = limitByteCount
        let result = bp_private_tmpfs(1, UInt64(limitByteCount))
        if result >= 0 {
            directory = OwnedDescriptor(adopting: Int32(result))
            directoryDescriptor = Int32(result)
            fallbackReason = nil
        } else {
            directory = nil
            directoryDescriptor = -1
            fallbackReason = SystemCallError("private tmpfs", result: result).description
        }
        guard warmByteCount > 0, result >= 0 else { return }
        for _ in 0..<warmSlotCount {
            free.append(try makeSlot(byteCount: warmByteCount, isWarm: true))
        }
    }

    /// A file with room for `byteCount` bytes, for an image that will run as `ownerUser`.
    public mutating func take(byteCount: Int, ownerUser: UInt32) throws(SystemCallError) -> Slot {
        guard byteCount > 0 else {
            throw SystemCallError("find \(byteCount) bytes for an image", errorNumber: 22)
        }
        if let slot = takeFree(byteCount) {
            clear(slot, behind: byteCount, for: ownerUser)
            return slot
        }
        let slot: Slot
        do throws(SystemCallError) {
            slot = try makeSlot(byteCount: byteCount, isWarm: false)
        } catch {
            guard !kept.isEmpty else { throw error }
            dropKept(now: .max)
            slot = try makeSlot(byteCount: byteCount, isWarm: false)
        }
        slot.ownerUser = ownerUser
        return slot
    }

    /// A slot with room that no process has any more.
    private mutating func takeFree(_ byteCount: Int) -> Slot? {
        func fits(_ slot: Slot) -> Bool {
            slot.byteCount >= byteCount && bp_probe_sole_owner(slot.descriptor) >= 0
        }
        if let index = free.firstIndex(where: fits) { return free.remove(at: index) }
        guard let index = kept.firstIndex(where: { fits($0.slot) }) else { return nil }
        return kept.remove(at: index).slot
    }

    /// What another user's image left behind this one's end is not this one's to read.
    private func clear(_ slot: Slot, behind byteCount: Int, for ownerUser: UInt32) {
        if slot.ownerUser != ownerUser {
            let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: slot.bytes[byteCount...])
            _ = unsafe rest.initializeMemory(as: UInt8.self, repeating: 0)
        }
        slot.ownerUser = ownerUser
    }

    /// Gives a slot back. A quarantined one may still be referenced by sockets and is not used
    /// again.
    /// - Parameter neededByteCount: whole pages that processes may have mapped; what lies behind
    ///   them in a slot that is not used again does not have to live as long as they do.
    public mutating func release(
        _ slot: Slot, isQuarantined: Bool, neededByteCount: Int? = nil, now: UInt64
    ) {
        if slot.isWarm, !isQuarantined {
            free.append(slot)
            return
        }
        slot.neededByteCount = neededByteCount
        if slot.name != nil, !isQuarantined, slot.byteCount <= warmByteCount {
            if kept.count == Self.keptLimit { drop(kept.removeFirst().slot) }
            kept.append((slot, now + Self.keptNanoseconds))
            return
        }
        drop(slot)
        guard slot.isWarm else { return }
        // The arena keeps its size: a fresh slot takes the place of the lost one.
        if let fresh = try? makeSlot(byteCount: warmByteCount, isWarm: true) { free.append(fresh) }
    }

    /// When `dropKept` has something to do; nil: never.
    public var deadlineNanoseconds: UInt64? { kept.first?.untilNanoseconds }

    /// Slots whose time is over are used no more.
    public mutating func dropKept(now: UInt64) {
        while let first = kept.first, first.untilNanoseconds <= now {
            drop(kept.removeFirst().slot)
        }
    }

    private func drop(_ slot: Slot) {
        // Pages that a socket still refers to stay as they are: the file only lets go of them.
        if let neededByteCount = slot.neededByteCount, neededByteCount < slot.byteCount {
            _ = bp_set_size(slot.descriptor, UInt64(neededByteCount))
        }
        if let name = slot.name { unlink(name) }
    }

    private func unlink(_ name: String) {
        _ = unsafe name.withCString { unsafe bp_unlink_at(directoryDescriptor, $0) }
    }

    private mutating func makeSlot(byteCount: Int, isWarm: Bool) throws(SystemCallError) -> Slot {
        // ENOSPC, as from a file system of that size: without one nobody else would say so.
        guard limitByteCount == 0 || byteCount <= limitByteCount else {
            throw SystemCallError("find \(byteCount) bytes for an image", errorNumber: 28)
        }
        var name: String?
        let number: Int
        if directoryDescriptor >= 0 {
            let fresh = "image\(nextName)"
            nextName += 1
            name = fresh
            number = unsafe fresh.withCString {
                // Only root opens it by name; the process's own rights come after that.
                unsafe bp_create_at(directoryDescriptor, $0, 0o400)
            }
        } else {
            number = unsafe "bproc image".withCString { unsafe bp_memfd($0, 0) }
        }
        let file = OwnedDescriptor(adopting: Int32(try check("create an image file", number)))
        do throws(SystemCallError) {
            try check("size an image file", bp_set_size(file.number, UInt64(byteCount)))
            try check(
                "find \(byteCount) bytes for an image",
                bp_allocate(file.number, UInt64(byteCount)))
            let mapping = try OwnedMapping(
                of: file.number, byteCount: byteCount, isWritable: true)
            if isWarm { try mapping.populate() }
            return Slot(file: file, mapping: mapping, name: name, isWarm: isWarm)
        } catch {
            if let name { unlink(name) }
            throw error
        }
    }
}
