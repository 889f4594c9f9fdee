/// Which processes of a node belong to a job: those below its ranks, and orphans by their session.
///
/// An orphan is a process whose parent has ended, so that the first process of the namespace is its
/// parent now. It belongs to the family of its session's leader, be that a rank (which may have
/// ended) or somebody whom a rank has started. One that has made a session of its own and outlived
/// its parent is a daemon: it belongs to nobody.
public struct ProcessFamily: Sendable {
    public struct Member: Equatable, Sendable {
        public let process: Int32
        public let parent: Int32
        public init(process: Int32, parent: Int32) {
            self.process = process
            self.parent = parent
        }
    }

    public struct Orphan: Equatable, Sendable {
        public let process: Int32
        public let session: Int32
        public init(process: Int32, session: Int32) {
            self.process = process
            self.session = session
        }
    }

    /// Everybody but the ranks, parents before their children. An orphan's parent is its owner.
    public private(set) var members: [Member] = []
    private var known: Set<Int32>
    private let limit: Int

    /// - Parameters:
    ///   - ranks: Those that live.
    ///   - sessions: Those of ranks that have ended.
    ///   - owner: Who stands for the parent of an orphan.
    ///   - limit: Most members that are looked for.
    ///   - children: The children of a process, as far as the kernel tells.
    public init(
        ranks: [Int32], sessions: Set<Int32>, orphans: [Orphan], owner: Int32, limit: Int = .max,
        children: (Int32) -> [Int32]
    ) {
        known = Set(ranks)
        self.limit = limit
        for rank in ranks { descend(from: rank, children) }
        var others = orphans
        var hasGrown = true
        while hasGrown {
            let before = others.count
            for orphan in others
            where sessions.contains(orphan.session) || known.contains(orphan.session) {
                add(orphan.process, parent: owner)
                descend(from: orphan.process, children)
            }
            others.removeAll { known.contains($0.process) }
            hasGrown = others.count < before && members.count < limit
        }
    }

    private mutating func add(_ process: Int32, parent: Int32) {
        guard members.count < limit, known.insert(process).inserted else { return }
        members.append(Member(process: process, parent: parent))
    }

    private mutating func descend(from first: Int32, _ children: (Int32) -> [Int32]) {
        var parents = [first][...]
        while let parent = parents.popFirst(), members.count < limit {
            for child in children(parent) where !known.contains(child) {
                add(child, parent: parent)
                parents.append(child)
            }
        }
    }
}
