/// What a local cluster is made of.
struct ClusterPlan {
    var nodeCount: Int
    /// Paths of the executables.
    var master: String
    var slave: String
    var masterArguments: [String] = []
    var slaveArguments: [String] = []
    var arenaByteCount: UInt64 = 8 << 20
    var timeoutNanoseconds: UInt64 = 120_000_000_000

    init(nodeCount: Int, master: String, slave: String) {
        self.nodeCount = nodeCount
        self.master = master
        self.slave = slave
    }
}
