/// What a specification can ask of a node: its number and the name of its state.
public struct NodeInfo: Equatable, Sendable {
    public var number: NodeNumber
    /// Free-form, at most 15 characters: "up", "down", "boot", "error", or what the site has set.
    public var state: String

    public init(number: NodeNumber, state: String) {
        self.number = number
        self.state = state
    }
}
