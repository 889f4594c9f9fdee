import Host
import Wire

/// A program that has asked for what nodes have to say: on the front end, or on a node.
struct Asker {
    enum Place: Equatable {
        case program(ClientID)
        case remote(RemotePlace)
    }

    let place: Place
    /// The program's number for its question, repeated in the answers.
    let request: UInt32
    /// It has asked for one node's book; else for processes.
    var wantsBook = false
}
