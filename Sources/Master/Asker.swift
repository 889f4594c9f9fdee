import Host
import Wire

/// Where a program is that waits for an answer: on the front end, or on a node.
enum AskerPlace: Equatable {
    case program(ClientID)
    case remote(RemotePlace)
}

/// A program that has asked for what nodes have to say.
struct Asker {
    let place: AskerPlace
    /// The program's number for its question, repeated in the answers.
    let request: UInt32
    /// It has asked for one node's book; else for processes.
    var wantsBook = false
}

/// A program that has told a node to do something with itself.
struct Orderer {
    let place: AskerPlace
    let caller: Caller
    /// The program's number for its request.
    let request: UInt32
}
