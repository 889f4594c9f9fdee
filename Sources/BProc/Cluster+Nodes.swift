import CBProc
import Glibc

/// Single nodes, who may use them, and nodes as a user writes them.
extension Cluster {
    /// How many nodes are configured, whatever their state.
    /// - Returns: 0 where no daemon runs.
    public func nodeCount() throws(BProcError) -> Int {
        let count = bproc_numnodes()
        guard count >= 0 else { throw .last() }
        return Int(count)
    }

    /// One node of the daemon's table, whatever its state.
    public func node(_ number: Int32) throws(BProcError) -> Node {
        var info = bproc_node_info_t()
        guard unsafe bproc_nodeinfo(number, &info) == 0 else { throw .last(node: number) }
        return Node(info)
    }

    /// "up", "down", "boot", "error", or what the site has set.
    public func state(of number: Int32) throws(BProcError) -> String {
        String(decoding: try attribute("state", of: number), as: UTF8.self)
    }

    /// The address of a node without its port, IPv4 or IPv6.
    /// - Throws: ENODATA for a node that has none now.
    public func address(of number: Int32) throws(BProcError) -> String {
        var storage = sockaddr_storage()
        var byteCount = Int32(MemoryLayout<sockaddr_storage>.size)
        // Room for either family; the library writes no more than the size it is told.
        let result = unsafe withUnsafeMutablePointer(to: &storage) { storage in
            unsafe storage.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                unsafe bproc_nodeaddr(number, address, &byteCount)
            }
        }
        guard result == 0 else { throw .last(node: number) }
        return Self.text(of: storage, byteCount: byteCount)
    }

    private static func text(of storage: sockaddr_storage, byteCount: Int32) -> String {
        var storage = storage
        var name = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        // A numeric name is made of the bytes alone: nobody is asked.
        let error = unsafe withUnsafePointer(to: &storage) { storage in
            unsafe storage.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                unsafe getnameinfo(
                    address, socklen_t(byteCount), &name, socklen_t(name.count), nil, 0,
                    NI_NUMERICHOST)
            }
        }
        precondition(error == 0, "the library writes addresses of IPv4 and IPv6 only")
        return String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    /// The bytes of an attribute, at most `BPROC_XATTR_MAX_VALUE_SIZE`.
    /// - Parameter name: without "bproc."; every node has "state".
    /// - Throws: ENODATA for a name that the node does not have.
    public func attribute(_ name: String, of number: Int32) throws(BProcError) -> [UInt8] {
        var value = [UInt8](repeating: 0, count: Int(BPROC_XATTR_MAX_VALUE_SIZE))
        let count = unsafe bproc_getnodeattr(number, name, &value, Int32(value.count))
        guard count >= 0 else { throw .last(node: number) }
        return Array(value.prefix(Int(count)))
    }

    /// Whether this process's real user and groups may start programs on a node. The front end
    /// (-1) is open to everyone.
    public func permitsUse(of number: Int32) throws(BProcError) -> Bool {
        if bproc_access(number, BPROC_X_OK) == 0 { return true }
        guard errno == EACCES else { throw .last(node: number) }
        return false
    }

    /// The nodes that a specification names, in its order and as often as it names them; numbers
    /// that do not exist are left out. "master" is an entry with the number -1.
    /// - Throws: EINVAL and a sentence with the place for a text that is no specification.
    public func nodes(matching specification: String) throws(BProcError) -> [Node] {
        var set = unsafe bproc_node_set_t()
        guard unsafe bproc_nodespec(&set, specification) >= 0 else { throw .last() }
        return unsafe Self.taking(&set)
    }

    /// The names that the site has given to sets of nodes: a line for each, `name=0-63,70`.
    public func nodeGroups() throws(BProcError) -> String {
        var text: UnsafeMutablePointer<CChar>?
        guard unsafe bproc_nodegroups(&text) >= 0, let groups = unsafe text else { throw .last() }
        defer { unsafe free(groups) }
        return unsafe String(cString: groups)
    }

    /// The entries of a set that the library has filled; the set is freed.
    static func taking(_ set: inout bproc_node_set_t) -> [Node] {
        defer { unsafe bproc_nodeset_free(&set) }
        // The library has filled exactly size entries; they live until the set is freed.
        let entries = unsafe UnsafeBufferPointer(start: set.node, count: Int(set.size))
        var nodes: [Node] = []
        nodes.reserveCapacity(entries.count)
        for index in 0..<entries.count { unsafe nodes.append(Node(entries[index])) }
        return nodes
    }
}
