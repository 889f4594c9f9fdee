import Ring

/// The processes of this slave, by slot: ring operations name a slot and its generation.
struct RankTable {
    private struct Key: Hashable {
        let launch: UInt64
        let rank: UInt32
    }

    private var slots: [RankProcess?] = []
    private var generations: [UInt32] = []
    private var free: [Int] = []
    private var slotOfRank: [Key: Int] = [:]

    var count: Int { slotOfRank.count }

    mutating func insert(_ process: RankProcess) {
        let slot: Int
        if let reused = free.popLast() {
            slot = reused
        } else {
            slot = slots.count
            slots.append(nil)
            generations.append(0)
        }
        slots[slot] = process
        process.slot = slot
        slotOfRank[Key(launch: process.launch, rank: process.rank)] = slot
    }

    mutating func remove(_ process: RankProcess) {
        slots[process.slot] = nil
        generations[process.slot] = (generations[process.slot] + 1) & 0xff_ffff
        free.append(process.slot)
        slotOfRank[Key(launch: process.launch, rank: process.rank)] = nil
    }

    /// The process is a rank of another launch from now on.
    mutating func move(_ process: RankProcess, toLaunch launch: UInt64, rank: UInt32) {
        slotOfRank[Key(launch: process.launch, rank: process.rank)] = nil
        process.become(rank, ofLaunch: launch)
        slotOfRank[Key(launch: launch, rank: rank)] = process.slot
    }

    /// A tag for an operation on this process.
    func tag(_ kind: UInt8, _ process: RankProcess) -> OperationTag {
        OperationTag(
            kind: kind, slot: UInt32(process.slot), generation: generations[process.slot])
    }

    /// The process an operation was for; nil if it has left its slot since.
    func process(_ tag: OperationTag) -> RankProcess? {
        let slot = Int(tag.slot)
        guard slot < slots.count, generations[slot] == tag.generation else { return nil }
        return slots[slot]
    }

    func process(launch: UInt64, rank: UInt32) -> RankProcess? {
        slotOfRank[Key(launch: launch, rank: rank)].flatMap { slots[$0] }
    }

    func processes(ofLaunch launch: UInt64) -> [RankProcess] {
        all.filter { $0.launch == launch }
    }

    var all: [RankProcess] { slots.compactMap { $0 } }
}
