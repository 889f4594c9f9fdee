import CSystem
public import System

/// Signals as something to poll. They stay blocked until the process ends.
public struct SignalDescriptor: ~Copyable {
    private let descriptor: OwnedDescriptor

    /// Takes these signals; one that is ignored now stays ignored.
    public init(_ signals: [Int32]) throws(SystemCallError) {
        let set = signals.reduce(UInt64(0)) { $0 | 1 << UInt64($1) }
        descriptor = OwnedDescriptor(
            adopting: Int32(try check("signalfd", bp_command_signals(set))))
    }

    public var number: Int32 { descriptor.number }

    /// A signal that has come.
    public struct Arrival: Sendable {
        public let number: Int32
        /// Sent by the terminal to all processes of its foreground group.
        public let isFromTerminal: Bool
    }

    /// The next signal that has come; nil: none.
    public func next() throws(SystemCallError) -> Int32? { try nextArrival()?.number }

    public func nextArrival() throws(SystemCallError) -> Arrival? {
        var isFromTerminal: Int32 = 0
        let signal = try check(
            "signalfd", unsafe bp_command_next_signal(descriptor.number, &isFromTerminal))
        return signal == 0
            ? nil : Arrival(number: Int32(signal), isFromTerminal: isFromTerminal != 0)
    }
}
