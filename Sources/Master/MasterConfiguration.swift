public import DaemonLog
public import MasterCore
public import NodeSpec
public import System
public import Wire

/// How the master runs.
public struct MasterConfiguration: Sendable {
    /// Where slaves connect.
    public var listenAddress: SocketAddress
    /// The local socket that programs connect to.
    public var socketPath: String
    /// The numbers of all nodes.
    public var nodes: NodeSet
    /// Where metrics are served by HTTP; nil: nowhere.
    public var metricsAddress: SocketAddress?
    /// Addresses that nodes must connect from; one that is not listed may come from anywhere.
    public var addresses: [Int32: NodeAddress] = [:]
    /// Who may use a node that connects, until somebody changes it.
    public var newcomers = NodePermission()
    /// Names for sets of nodes.
    public var groups = NodeGroups()
    /// Programs that are run for a node that has come, or gone, with its number as the argument.
    public var nodeUpHook: String?
    public var nodeDownHook: String?
    /// An existing directory: the output of a node's hooks is appended to node.N there.
    public var hookLogDirectory = "/var/log/bproc"
    public var hookTimeoutSeconds = 300
    /// Hooks that run at a time.
    public var hookCountLimit = 16
    /// A slave silent for this long is down.
    public var pingTimeoutSeconds: Int
    /// A slave whose connection is cut has this long to come again, and its processes live; 0: it
    /// is down at once.
    public var graceSeconds = 0
    /// A node that shows no life for this long during a launch is given up.
    public var stallMilliseconds: UInt32
    public var socketBufferByteCount: Int
    public var forbidsRing: Bool
    public var logLevels = LogLevels()
    /// Say once a minute that peers are not authenticated.
    public var warnsOfInsecurity = false

    public static let defaultPort: UInt16 = 2223

    public init(listenAddress: SocketAddress, socketPath: String, nodes: NodeSet) {
        self.listenAddress = listenAddress
        self.socketPath = socketPath
        self.nodes = nodes
        pingTimeoutSeconds = 30
        stallMilliseconds = 4000
        socketBufferByteCount = 0
        forbidsRing = false
    }

    /// Options that differ in another configuration, and cannot change while the master runs.
    func lastingOptions(in other: MasterConfiguration) -> [String] {
        var names: [String] = []
        if listenAddress != other.listenAddress { names.append("listen") }
        if metricsAddress != other.metricsAddress { names.append("metrics") }
        if socketPath != other.socketPath { names.append("socket") }
        if socketBufferByteCount != other.socketBufferByteCount { names.append("socket-buffer") }
        if forbidsRing != other.forbidsRing { names.append("no-io-uring") }
        return names
    }
}
