import CommandSupport
import Glibc
import System

/// Waits for everything that a copy has under way.
final class CopyLoop {
    private let signals: SignalDescriptor
    var target: NodesTarget?
    var source: NodeSource?
    /// The signal that has ended the copy.
    private(set) var signal: Int32?
    /// No copy is ended a second time by the same signal.
    private var isEnding = false

    init() throws(CommandError) {
        do throws(SystemCallError) {
            signals = try SignalDescriptor([SIGINT, SIGTERM, SIGQUIT, SIGHUP])
        } catch {
            throw CommandError(error.description)
        }
    }

    /// - Throws: when a signal has come; the copy is to be given up then.
    func wait(until condition: () -> Bool) throws(CommandError) {
        try step(waits: false)
        while !condition() { try step(waits: true) }
    }

    /// Signals that have come by now.
    func look() throws(CommandError) { try step(waits: false) }

    private func step(waits: Bool) throws(CommandError) {
        var entries = [Poll.Entry(signals.number, Poll.readable)]
        if let target { entries += target.polled }
        if let source, source.wantsBytes { entries.append(source.polled) }
        do throws(SystemCallError) {
            try Poll.wait(&entries, timeoutMilliseconds: waits ? nil : 0)
            while let signal = try signals.next() {
                self.signal = self.signal ?? signal
                if isEnding { throw SystemCallError("signal \(signal)", errorNumber: EINTR) }
            }
        } catch {
            throw CommandError(error.description)
        }
        if signal != nil && !isEnding { throw CommandError("interrupted") }
        try target?.serve()
        if let source, source.wantsBytes { source.serve() }
    }

    /// From now on a signal does not wait for the nodes any more.
    func beginEnd() { isEnding = true }
}
