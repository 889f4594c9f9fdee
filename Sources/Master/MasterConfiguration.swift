public import MasterCore
public import NodeSpec
public import System

/// How the master runs.
public struct MasterConfiguration: Sendable {
    /// Where slaves connect.
    public var listenAddress: SocketAddress
    /// The local socket that programs connect to.
    public var socketPath: String
    public var nodeCount: Int
    /// Who may use a node that connects, until somebody changes it.
    public var newcomers = NodePermission()
    /// Names for sets of nodes.
    public var groups = NodeGroups()
    /// A slave silent for this long is down.
    public var pingTimeoutSeconds: Int
    /// A node that shows no life for this long during a launch is given up.
    public var stallMilliseconds: UInt32
    public var socketBufferByteCount: Int
    public var forbidsRing: Bool
    /// Say once a minute that peers are not authenticated.
    public var warnsOfInsecurity = false

    public static let defaultPort: UInt16 = 2223

    public init(listenAddress: SocketAddress, socketPath: String, nodeCount: Int) {
        self.listenAddress = listenAddress
        self.socketPath = socketPath
        self.nodeCount = nodeCount
        pingTimeoutSeconds = 30
        stallMilliseconds = 4000
        socketBufferByteCount = 0
        forbidsRing = false
    }
}
