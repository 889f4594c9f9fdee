/// Who gets a signal that is for a rank. The numbers are the wire's.
public enum SignalReach: UInt16, Equatable, Sendable {
    /// Its process group.
    case group = 0
    /// Its process alone, as kill(2) has it.
    case process = 1
    /// Its process, and everything that it has started.
    case descendants = 2
}
