import CBProc
import Glibc

// The running process: forks of it on nodes, moves, its image. Only for a process of one thread:
// what uses tasks, Dispatch or threads gets an error before anything has happened.

/// Which of the two processes a fork has returned in.
public enum Fork: Equatable, Sendable {
    /// The caller, with the number of its child.
    case parent(process: Int32)
    case child
}

/// Which of the many processes a fork onto several nodes has returned in.
public enum RankedFork: Sendable {
    /// The caller; by rank the number of the child, or why there is none.
    case parent([Result<Int32, BProcError>])
    case child(rank: Int)
}

extension Cluster {
    /// `fork`, with the child on a node. Its outputs come to this process's standard output.
    public func fork(to node: Int32) throws(BProcError) -> Fork {
        let number = bproc_rfork(node)
        guard number >= 0 else { throw .last() }
        return number == 0 ? .child : .parent(process: number)
    }

    /// One child for every entry of `nodes`, all from one image of this process.
    public func fork(to nodes: [Int32]) throws(BProcError) -> RankedFork {
        var nodes = nodes
        var processes = [Int32](repeating: 0, count: nodes.count)
        let count = Int32(clamping: nodes.count)
        let rank = unsafe bproc_vrfork(count, &nodes, &processes)
        guard rank >= 0 else { throw .last() }
        guard rank == count else { return .child(rank: Int(rank)) }
        return .parent(
            zip(nodes, processes).map { node, process in
                guard process <= 0 else { return .success(process) }
                return .failure(BProcError(errorNumber: -process, sentence: "", node: node))
            })
    }

    /// Goes on on a node; returns there.
    /// - Parameter leavesChildren: children that nobody has waited for stay behind. Without it they
    ///   are an error.
    public func move(to node: Int32, leavesChildren: Bool = false) throws(BProcError) {
        let flags = leavesChildren ? BPROC_MOVE_ORPHANS : 0
        guard _bproc_move(node, flags) == 0 else { throw .last() }
    }

    /// Writes this process's image. Answers the bytes written, and nil in the process that
    /// continues from the image.
    public func dump(to descriptor: Int32) throws(BProcError) -> Int? {
        let byteCount = bproc_dump(descriptor, 0)
        guard byteCount >= 0 else { throw .last() }
        return byteCount == 0 ? nil : byteCount
    }
}
