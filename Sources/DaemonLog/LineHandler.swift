import Glibc
import Logging

/// Writes each line to standard error with one call, so that lines of several daemons on one
/// descriptor do not mix.
struct LineHandler: LogHandler {
    let form: LineForm
    let label: String
    let component: LogComponent
    var logLevel = Logger.Level.notice
    // The daemons say everything in the sentence.
    var metadata: Logger.Metadata = [:]
    var metadataProvider: Logger.MetadataProvider?

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let line = form.line(
            event.level, label: label, component: component, message: "\(event.message)")
        var rest = Array(line.utf8)[...]
        while !rest.isEmpty {
            let count = unsafe rest.withUnsafeBytes { unsafe write(2, $0.baseAddress, $0.count) }
            guard count > 0 || errno == EINTR else { return }
            rest = rest.dropFirst(max(0, count))
        }
    }
}
