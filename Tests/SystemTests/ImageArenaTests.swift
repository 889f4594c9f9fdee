import CSystem
import CTestSupport
import System
import Testing

/// A private tmpfs needs CAP_SYS_ADMIN: without it these tests are skipped, for that reason.
private let privateTmpfsRefusal: String? = {
    do {
        return try ImageArena(warmByteCount: 0).fallbackReason
    } catch {
        return "\(error)"
    }
}()

private let warmByteCount = 1 << 20

/// Serial: the children of one test inherit what another has open.
@Suite(
    .serialized,
    .enabled(
        if: privateTmpfsRefusal == nil, "private tmpfs refused: \(privateTmpfsRefusal ?? "")"))
struct ImageArenaTests {
    /// What a restored process sees in the slot's file.
    private func byte(_ offset: Int, of slot: ImageArena.Slot, in arena: borrowing ImageArena)
        throws -> UInt8
    {
        let file = try open(slot, in: arena)
        var value: UInt8 = 0xee
        try check("read the slot", bptest_read_at(file.number, &value, offset))
        return value
    }

    private func open(_ slot: ImageArena.Slot, in arena: borrowing ImageArena) throws
        -> OwnedDescriptor
    {
        let name = try #require(slot.name)
        let number = bptest_open_at(arena.directoryDescriptor, name)
        return OwnedDescriptor(adopting: Int32(try check("open the slot", number)))
    }

    @Test func takesTheWarmSlotFirstAndThenColdOnes() throws {
        var arena = try ImageArena(warmByteCount: warmByteCount)
        let first = try arena.take(byteCount: 1000, ownerUser: 1)
        let second = try arena.take(byteCount: 1000, ownerUser: 1)
        #expect(first.byteCount == warmByteCount && second.byteCount == 1000)
        #expect(first.name != second.name && first.descriptor != second.descriptor)
        arena.release(first, isQuarantined: false, now: 0)
        arena.release(second, isQuarantined: false, now: 0)
        // The cold one's file is gone in the end, the warm one is taken again.
        let end = arena.deadlineNanoseconds
        arena.dropKept(now: try #require(end))
        let never = arena.deadlineNanoseconds
        #expect(never == nil)
        #expect(bptest_open_at(arena.directoryDescriptor, try #require(second.name)) == -2)
        let third = try arena.take(byteCount: warmByteCount, ownerUser: 1)
        #expect(third === first)
        let large = try arena.take(byteCount: 3 * warmByteCount, ownerUser: 1)
        large.bytes[3 * warmByteCount - 1] = 7
        #expect(try byte(3 * warmByteCount - 1, of: large, in: arena) == 7)
    }

    @Test func severalImagesFindWarmSlots() throws {
        var arena = try ImageArena(warmByteCount: warmByteCount, warmSlotCount: 2)
        let first = try arena.take(byteCount: 1000, ownerUser: 1)
        let second = try arena.take(byteCount: 1000, ownerUser: 1)
        let third = try arena.take(byteCount: 1000, ownerUser: 1)
        #expect([first, second, third].map(\.byteCount) == [warmByteCount, warmByteCount, 1000])
        #expect(first !== second)
        arena.release(second, isQuarantined: false, now: 0)
        #expect(try arena.take(byteCount: 1000, ownerUser: 1) === second)
    }

    /// A stream of launches: only the first ones find cold memory.
    @Test func slotsBesideTheWarmOnesAreKeptForAMoment() throws {
        var arena = try ImageArena(warmByteCount: warmByteCount)
        let warm = try arena.take(byteCount: 1000, ownerUser: 1)
        let second = try arena.take(byteCount: warmByteCount / 2, ownerUser: 1)
        let third = try arena.take(byteCount: warmByteCount / 2, ownerUser: 1)
        second.bytes[20_000] = 0x66
        arena.release(second, isQuarantined: false, now: 5)
        let deadline = arena.deadlineNanoseconds
        arena.dropKept(now: try #require(deadline) - 1)
        let again = try arena.take(byteCount: 10_000, ownerUser: 1)
        #expect(again === second && again.bytes[20_000] == 0x66)
        // Another user's image has nothing of it, and one that is larger does not fit.
        arena.release(again, isQuarantined: false, now: 5)
        let larger = try arena.take(byteCount: warmByteCount, ownerUser: 1)
        #expect(larger !== second)
        let other = try arena.take(byteCount: 10_000, ownerUser: 2)
        #expect(other === second && other.bytes[20_000] == 0)
        // The oldest makes room; what is larger than a warm slot, or quarantined, is not kept.
        let large = try arena.take(byteCount: warmByteCount + 1, ownerUser: 1)
        let quarantined = try arena.take(byteCount: 1000, ownerUser: 1)
        arena.release(third, isQuarantined: false, now: 6)
        arena.release(larger, isQuarantined: false, now: 7)
        arena.release(other, isQuarantined: false, now: 8)
        arena.release(large, isQuarantined: false, now: 9)
        arena.release(quarantined, isQuarantined: true, now: 9)
        let directory = arena.directoryDescriptor
        let names = try [third, larger, other, large, quarantined].map { try #require($0.name) }
        let results = names.map { name in
            let result = bptest_open_at(directory, name)
            if result >= 0 { _ = OwnedDescriptor(adopting: Int32(result)) }
            return result >= 0
        }
        #expect(results == [false, true, true, false, false])
        _ = consume warm
    }

    /// Kept memory is nobody's: it makes room where a file system is full.
    @Test func keptSlotsAreNotInTheWay() throws {
        let limit = 4 * warmByteCount
        var arena = try ImageArena(warmByteCount: warmByteCount, limitByteCount: limit)
        var slots: [ImageArena.Slot] = []
        for _ in 0..<3 { slots.append(try arena.take(byteCount: warmByteCount, ownerUser: 1)) }
        while let slot = slots.popLast() {
            arena.release(slot, isQuarantined: false, now: 5)
        }
        let before = arena.deadlineNanoseconds
        let large = try arena.take(byteCount: 2 * warmByteCount, ownerUser: 1)
        let after = arena.deadlineNanoseconds
        #expect(large.byteCount == 2 * warmByteCount && before != nil && after == nil)
    }

    /// A process may live long; what it has not mapped need not.
    @Test func aSlotThatIsNotUsedAgainShrinksToWhatIsNeeded() throws {
        var arena = try ImageArena(warmByteCount: 0)
        let slot = try arena.take(byteCount: 40_960, ownerUser: 1)
        let keeper = OwnedDescriptor(adopting: Int32(bp_dup_cloexec(slot.descriptor)))
        slot.bytes[8191] = 9
        arena.release(slot, isQuarantined: false, neededByteCount: 8192, now: 0)
        #expect(bp_file_size(keeper.number) == 8192)
        let mapping = try OwnedMapping(of: keeper.number, byteCount: 8192, isWritable: false)
        #expect(mapping.bytes[8191] == 9)
    }

    @Test func quarantinedSlotsAreNotUsedAgain() throws {
        var arena = try ImageArena(warmByteCount: warmByteCount)
        let slot = try arena.take(byteCount: 1000, ownerUser: 1)
        slot.bytes[0] = 0x55
        arena.release(slot, isQuarantined: true, now: 0)
        let next = try arena.take(byteCount: 1000, ownerUser: 1)
        // A fresh warm slot has come in its place.
        #expect(next !== slot && next.byteCount == warmByteCount && next.bytes[0] == 0)
        #expect(slot.bytes[0] == 0x55)
    }

    /// The child, or its child, holds nothing but the mapping: while it lives, its slot is left
    /// alone.
    @Test(arguments: [false, true])
    func aMappedSlotIsNotRecycled(byGrandchild: Bool) throws {
        var arena = try ImageArena(warmByteCount: warmByteCount)
        let slot = try arena.take(byteCount: 1000, ownerUser: 1)
        slot.bytes[0] = 0x77
        var stop: Int32 = -1
        let child: Int
        do {
            let readOnly = try open(slot, in: arena)
            child = bptest_hold_mapping(readOnly.number, 4096, byGrandchild ? 1 : 0, &stop)
            try #require(child > 0)
        }
        arena.release(slot, isQuarantined: false, now: 0)
        let other = try arena.take(byteCount: 1000, ownerUser: 1)
        #expect(other !== slot && other.bytes[0] == 0)
        // The holder ends; its slot comes back, with its bytes.
        do { _ = OwnedDescriptor(adopting: stop) }
        if !byGrandchild { #expect(bptest_wait(child) == 0) }
        let again = try takeAgain(slot, from: &arena, byteCount: 1000, ownerUser: 1)
        #expect(again.bytes[0] == 0x77)
    }

    @Test func anotherOwnerFindsNothingBeyondTheNewImage() throws {
        var arena = try ImageArena(warmByteCount: warmByteCount)
        let first = try arena.take(byteCount: 10_000, ownerUser: 1)
        for index in 0..<10_000 { first.bytes[index] = 0x99 }
        arena.release(first, isQuarantined: false, now: 0)
        // The same owner gets the slot as it is, a smaller image or not.
        let same = try takeAgain(first, from: &arena, byteCount: 100, ownerUser: 1)
        #expect(try byte(9_999, of: same, in: arena) == 0x99)
        arena.release(same, isQuarantined: false, now: 0)
        let other = try takeAgain(first, from: &arena, byteCount: 5_000, ownerUser: 2)
        for place in [5_000, 5_001, 8_191, 8_192, 9_999, warmByteCount - 1] {
            #expect(try byte(place, of: other, in: arena) == 0)
        }
    }

    @Test func theDescriptorForAProcessCannotWrite() throws {
        var arena = try ImageArena(warmByteCount: warmByteCount)
        let slot = try arena.take(byteCount: 8192, ownerUser: 1)
        let file = try open(slot, in: arena)
        var byte: UInt8 = 1
        #expect(bptest_write_at(file.number, &byte, 0) == -9)
        #expect(throws: SystemCallError.self) {
            _ = try OwnedMapping(of: file.number, byteCount: 4096, isWritable: true)
        }
        let mapping = try OwnedMapping(of: file.number, byteCount: 4096, isWritable: false)
        slot.bytes[17] = 0x42
        #expect(mapping.bytes[17] == 0x42)
    }

    @Test func aFullFileSystemIsAnErrorBeforeAnyByteArrives() throws {
        let limit = 4 * warmByteCount
        var arena = try ImageArena(warmByteCount: 0, limitByteCount: limit)
        let noSpace: Int32 = 28
        let error = refusal { _ = try arena.take(byteCount: limit + 1, ownerUser: 1) }
        #expect(error?.errorNumber == noSpace)
        // Released, but still held by a process: the file system is full.
        let slot = try arena.take(byteCount: limit - warmByteCount, ownerUser: 1)
        let held = try open(slot, in: arena)
        arena.release(slot, isQuarantined: true, now: 0)
        let full = refusal { _ = try arena.take(byteCount: 2 * warmByteCount, ownerUser: 1) }
        #expect(full?.errorNumber == noSpace)
        // What was refused has left nothing behind.
        let small = try arena.take(byteCount: warmByteCount, ownerUser: 1)
        small.bytes[warmByteCount - 1] = 1
        _ = consume held
    }

    /// Sizes come over the network.
    @Test func sizesThatAreNoneAreRefused() throws {
        var arena = try ImageArena(warmByteCount: warmByteCount)
        for byteCount in [0, -1, .min, .max] {
            let error = refusal { _ = try arena.take(byteCount: byteCount, ownerUser: 1) }
            #expect(error != nil, "\(byteCount)")
        }
        #expect(try arena.take(byteCount: 1, ownerUser: 1).byteCount == warmByteCount)
    }

    @Test func aSlotOutlivesItsArena() throws {
        let slot = try {
            var arena = try ImageArena(warmByteCount: 0)
            return try arena.take(byteCount: 100, ownerUser: 1)
        }()
        slot.bytes[99] = 5
        var value: UInt8 = 0
        #expect(bptest_read_at(slot.descriptor, &value, 99) == 1 && value == 5)
    }
}

/// Takes until it is this slot: a process that ends, or that another test has just forked, keeps a
/// released slot for a moment.
private func takeAgain(
    _ slot: ImageArena.Slot, from arena: inout ImageArena, byteCount: Int, ownerUser: UInt32
) throws -> ImageArena.Slot {
    for _ in 0..<2000 {
        let taken = try arena.take(byteCount: byteCount, ownerUser: ownerUser)
        if taken === slot { return taken }
        arena.release(taken, isQuarantined: false, now: 0)
        _ = bptest_wait_readable(-1, 5)
    }
    throw SystemCallError("take the slot again", errorNumber: 16)
}

/// The error of a call that should fail.
private func refusal(_ body: () throws -> Void) -> SystemCallError? {
    do {
        try body()
        return nil
    } catch {
        return error as? SystemCallError
    }
}

@Suite struct ImageArenaWithoutPrivilegeTests {
    /// The unprivileged path, in a process that has given its capabilities away.
    @Test func memoryFilesTakeThePlace() async {
        await #expect(processExitsWith: .exitCode(42)) {
            if bp_effective_user() == 0 { try check("become nobody", bptest_become_nobody()) }
            var arena = try ImageArena(warmByteCount: 1 << 20)
            guard arena.fallbackReason != nil, arena.directoryDescriptor < 0 else { bp_exit(2) }
            let slot = try arena.take(byteCount: 5000, ownerUser: 65534)
            guard slot.name == nil, slot.byteCount == 5000 else { bp_exit(3) }
            slot.bytes[4999] = 0x42
            var byte: UInt8 = 0
            guard bptest_read_at(slot.descriptor, &byte, 4999) == 1, byte == 0x42 else {
                bp_exit(4)
            }
            arena.release(slot, isQuarantined: false, now: 0)
            // Nobody can tell whether a process still has it: never used again.
            let next = try arena.take(byteCount: 5000, ownerUser: 65534)
            guard next !== slot, next.bytes[4999] == 0 else { bp_exit(5) }
            bp_exit(42)
        }
    }
}
