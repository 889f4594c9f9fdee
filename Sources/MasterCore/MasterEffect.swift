public import Relay
public import Wire

/// What the master's state wants done.
public enum MasterEffect: Equatable, Sendable {
    case relay(launch: UInt64, RelayEffect)
    /// A frame for a slave's control link.
    case control(LinkID, frame: [UInt8])
    /// A slave is let in by this link; what is said on it is kept from now on until the slave
    /// has acknowledged it.
    case welcome(LinkID, Welcome)
    /// The link goes on by this other connection: after the welcome, which needs its resumption
    /// filled in, with what the slave lacks, which has received so many counted frames.
    case resume(LinkID, by: LinkID, receivedCount: UInt64, Welcome)
    /// End the connection of a link, and keep what is said on it.
    case cut(LinkID)
    /// End a control link, after this sentence.
    case refuse(LinkID, reason: String)
    /// One rank of a client's launch will not start.
    case failed(ClientID, Answer.Failure)
    /// Every rank of the client's launch has an answer.
    case launched(ClientID, LaunchReport)
    case progress(ClientID, LaunchProgress)
    case exited(ClientID, RankExit)
    case stopped(ClientID, StopRecord)
    /// The client has moved by this launch, and nothing of it need stay where it is.
    case left(ClientID)
    /// Send a signal to a process of this machine and user that goes on in its ghost.
    case signalHere(process: Int32, user: UInt32, signal: Int32)
    /// What was kept for this launch, because its rank's process had still to leave a node, is due;
    /// this is who hears it.
    case hasArrived(launch: UInt64, listener: RankListener?)
    /// A rank of the client's launch takes no more input.
    case inputHasEnded(ClientID, rank: UInt32)
    /// The image is not needed any more.
    case closeStorage(launch: UInt64)
    /// Every rank has ended and been reported.
    case forget(launch: UInt64)
    /// The node's slave is gone, and with it every program there and the link.
    case nodeIsGone(Int32, LinkID)
    /// A node has answered an order that this client gave it; nil: it is done.
    case nodeAnswered(order: UInt32, NodeRefusal?)
    /// Run the site's program for a node; answered by `MasterState.hookEnded`.
    case beginHook(HookRun)
    /// End it, with everything that it has started.
    case endHook(HookRun)
    /// A node has answered a question, in part or in whole.
    case nodeAnswers(UInt32, Int32, NodeAnswer)
    /// Every node has answered this question, or will not any more.
    case questionIsOver(UInt32)
    case note(String, about: NoteSubject = .node)
    /// Something that an administrator should see.
    case warning(String, about: NoteSubject = .node)
}

/// Who hears what a rank writes.
public struct RankListener: Equatable, Sendable {
    public let client: ClientID
    /// What the rank is to the client.
    public let rank: UInt32

    public init(client: ClientID, rank: UInt32) {
        self.client = client
        self.rank = rank
    }
}

/// What a note of the master's state is about.
public enum NoteSubject: Equatable, Sendable {
    case node
    case hook
}

/// The answer to a launch request.
public struct LaunchReport: Equatable, Sendable {
    public var launch: UInt64
    /// Rank order: process number, or a negative error number.
    public var processes: [Int32]
    /// Rank order, zeros for what has failed; empty: the client has not asked.
    public var times: [StageTimes]
    public var placedCount: Int
    public var elapsedNanoseconds: UInt64
    /// From "image complete on the node" to the restorer's own word, over all placed ranks.
    public var undumpMedianNanoseconds: UInt32
    public var undump99thNanoseconds: UInt32
    /// The most chunks one node received: more than the image has means that some came twice.
    public var receivedChunkCountMaximum: UInt32
    /// Ranks that have other pids on their nodes than their ghosts, and the first of them if there
    /// is one.
    public var otherPidCount: Int
    public var firstOtherPid: UInt32
    public var chunkCount: UInt32
    public var fanOut: Int
    public var chunkByteCount: UInt32
    /// Bytes that travelled, and what they unpacked to; 0: the image travelled as it is.
    public var imageByteCount: UInt64
    public var unpackedByteCount: UInt64

    /// "2621440 bytes as they are", or "2621440 bytes packed to 48.2 %".
    public var imageSentence: String {
        guard unpackedByteCount > 0 else { return "\(imageByteCount) bytes as they are" }
        let permille = (imageByteCount * 1000 + unpackedByteCount / 2) / unpackedByteCount
        return "\(unpackedByteCount) bytes packed to \(permille / 10).\(permille % 10) %"
    }
}

public struct LaunchProgress: Equatable, Sendable {
    public var launch: UInt64
    public var rankCount: Int
    public var reachedCount: Int
    public var placedCount: Int
    public var failedCount: Int
    public var doneCount: Int
    public var imageByteCount: UInt64
}

/// Why a process has come to its end for its caller.
public enum RankEndCause: UInt32, Sendable {
    /// It has ended.
    case own = 0
    /// Its node is lost, and it with it.
    case nodeDied = 1
    /// Its node has gone to another master, and it runs on there.
    case nodeLeft = 2
    /// It goes on in its ghost.
    case home = 3
}

public struct RankExit: Equatable, Sendable {
    public var rank: UInt32
    public var process: Int32
    public var waitStatus: Int32
    public var cause: RankEndCause
    /// What its slave says that it has used; nothing for a node's death.
    public var usage = ResourceUsage()
}
