import Host
import MasterCore
import Ring
import System

// What monitoring systems read: over HTTP where the configuration says so, and as the answer to a
// program.
extension MasterDaemon {
    /// In the exposition format of Prometheus.
    var metricsText: String {
        var metrics = MetricsText()
        metrics.gauge(
            "bproc_start_time_seconds", "When the master was started, in seconds since 1970.",
            startSeconds)
        host.store.state.write(to: &metrics)
        metrics.gauge(
            "bproc_local_programs", "Programs that are connected to the master.",
            host.programs.all.count)
        metrics.gauge("bproc_hooks_running", "Hooks that run.", hooks.count)
        return metrics.text
    }

    /// A completion of the server of metrics.
    mutating func serveMetrics(_ completion: Completion) {
        guard let server = metricsServer,
            let (connection, request) = server.take(
                completion, now: Clock.monotonicNanoseconds, ring: &host.ring)
        else { return }
        server.answer(connection, request.answer(metricsText), ring: &host.ring)
    }
}
