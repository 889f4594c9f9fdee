public import Wire

/// The list of libraries that administrators keep for the whole cluster: names, in the order in
/// which they were added. Images carry all of their memory, so no launch looks at it.
public struct LibraryList: Equatable, Sendable {
    /// One change of the list, by root.
    public enum Change: Equatable, Sendable {
        case clear
        /// A name that is there already stays where it is.
        case add(String)
        case remove(String)
    }

    public private(set) var names: [String] = []
    /// Bytes of all names, each with its NUL: what `bproc_liblist` answers.
    public private(set) var byteCount = 0
    /// The whole list fits into one answer, wherever the question comes from.
    public static let byteLimit = 64 << 10

    public init() {}

    /// The names as the local protocol has them: a NUL behind each.
    public var text: [UInt8] { names.flatMap { $0.utf8 + [0] } }

    public mutating func change(_ change: Change, by caller: Caller) throws(NodeRefusal) {
        guard caller.user == 0 else {
            throw NodeRefusal(FailureCode.notPermitted, "only root changes the list of libraries")
        }
        switch change {
        case .clear: self = LibraryList()
        case .add(let name): try add(name)
        case .remove(let name):
            guard let index = names.firstIndex(of: name) else {
                throw NodeRefusal(FailureCode.noEntry, "\(name) is not on the list of libraries")
            }
            names.remove(at: index)
            byteCount -= name.utf8.count + 1
        }
    }

    private mutating func add(_ name: String) throws(NodeRefusal) {
        guard !name.isEmpty else {
            throw NodeRefusal(FailureCode.invalidArgument, "a library without a name")
        }
        guard !names.contains(name) else { return }
        guard byteCount + name.utf8.count + 1 <= Self.byteLimit else {
            throw NodeRefusal(
                FailureCode.noSpace, "the list of libraries is full: \(byteCount) bytes of names")
        }
        names.append(name)
        byteCount += name.utf8.count + 1
    }
}
