import CBProc
import Glibc

/// Tells when the table of nodes has changed.
///
/// Its descriptor is readable, or poll says so, after any change; `nodes` reads the table and makes
/// it quiet until the next one.
public struct NodeNotifier: ~Copyable {
    /// Belongs to the notifier.
    public let descriptor: Int32

    public init() throws(BProcError) {
        descriptor = bproc_notifier()
        guard descriptor >= 0 else { throw .last() }
    }

    /// All configured nodes, as `Cluster.nodes` answers them.
    /// - Throws: ECONNRESET when the daemon has ended.
    public borrowing func nodes() throws(BProcError) -> [Cluster.Node] {
        var set = unsafe bproc_node_set_t()
        guard unsafe bproc_nodelist_(&set, descriptor) >= 0 else { throw .last() }
        return unsafe Cluster.taking(&set)
    }

    deinit { close(descriptor) }
}
