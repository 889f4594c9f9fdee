import CBProc
import Glibc

/// What administrators change. Each call throws EPERM where the caller may not.
extension Cluster {
    /// - Parameter state: at most 15 letters and digits; "down" disconnects the node.
    public func setState(_ state: String, of number: Int32) throws(BProcError) {
        guard unsafe bproc_nodesetstatus(number, state) == 0 else { throw .last(node: number) }
    }

    /// - Parameter mode: execute bits, 0 to 0o111.
    public func setMode(_ mode: UInt32, of number: Int32) throws(BProcError) {
        guard bproc_chmod(number, Int32(bitPattern: mode)) == 0 else {
            throw .last(node: number)
        }
    }

    public func setUser(_ user: UInt32, of number: Int32) throws(BProcError) {
        guard bproc_chown(number, Int32(bitPattern: user)) == 0 else {
            throw .last(node: number)
        }
    }

    public func setGroup(_ group: UInt32, of number: Int32) throws(BProcError) {
        guard bproc_chgrp(number, Int32(bitPattern: group)) == 0 else {
            throw .last(node: number)
        }
    }

    /// Makes a directory of the node "/" for everything that is started there later. What a node
    /// allows of this and the following, its slave's configuration says.
    public func setRoot(_ path: String, of number: Int32) throws(BProcError) {
        guard unsafe bproc_nodechroot(number, path) == 0 else { throw .last(node: number) }
    }

    public func reboot(_ number: Int32) throws(BProcError) {
        guard bproc_nodereboot(number) == 0 else { throw .last(node: number) }
    }

    public func halt(_ number: Int32) throws(BProcError) {
        guard bproc_nodehalt(number) == 0 else { throw .last(node: number) }
    }

    public func powerOff(_ number: Int32) throws(BProcError) {
        guard bproc_nodepwroff(number) == 0 else { throw .last(node: number) }
    }

    /// Where somebody can be reached, or is to come from.
    public struct Endpoint: Equatable, Sendable {
        /// 4 of IPv4 or 16 of IPv6, in network order.
        public let octets: [UInt8]
        public let port: UInt16

        public init(octets: [UInt8], port: UInt16) {
            precondition(octets.count == 4 || octets.count == 16)
            self.octets = octets
            self.port = port
        }

        fileprivate var socketAddress: sockaddr_in6 {
            var storage = sockaddr_in6()
            storage.sin6_family = sa_family_t(octets.count == 4 ? AF_INET : AF_INET6)
            storage.sin6_port = port.bigEndian
            // The octets of IPv4 follow the port, those of IPv6 a number more.
            unsafe withUnsafeMutableBytes(of: &storage) { bytes in
                unsafe UnsafeMutableRawBufferPointer(
                    rebasing: bytes[(octets.count == 4 ? 4 : 8)...]
                )
                .copyBytes(from: octets)
            }
            return storage
        }

        fileprivate var byteCount: Int32 {
            Int32(
                octets.count == 4
                    ? MemoryLayout<sockaddr_in>.size : MemoryLayout<sockaddr_in6>.size)
        }
    }

    /// Lets a node connect anew, to its master by another address, with its processes running on,
    /// or to another master, which ends them.
    /// - Parameter own: the node's own address; nil: any.
    public func reconnect(
        _ number: Int32, to master: Endpoint, from own: Endpoint?
    ) throws(BProcError) {
        var remote = master.socketAddress
        var local = own?.socketAddress ?? sockaddr_in6()
        let result = unsafe withUnsafeMutablePointer(to: &remote) { remote in
            unsafe withUnsafeMutablePointer(to: &local) { local in
                unsafe bproc_nodereconnect(
                    number, UnsafeMutableRawPointer(remote).assumingMemoryBound(to: sockaddr.self),
                    master.byteCount,
                    UnsafeMutableRawPointer(local).assumingMemoryBound(to: sockaddr.self),
                    own?.byteCount ?? 0)
            }
        }
        guard result == 0 else { throw .last(node: number) }
    }

    /// Gives a node an attribute until it goes down.
    /// - Parameters:
    ///   - name: at most 63 bytes.
    ///   - value: at most 64 bytes.
    public func setAttribute(
        _ name: String, to value: [UInt8], of number: Int32
    ) throws(BProcError) {
        let result = unsafe value.withUnsafeBytes { bytes in
            unsafe bproc_setnodeattr(number, name, bytes.baseAddress, Int32(clamping: bytes.count))
        }
        guard result == 0 else { throw .last(node: number) }
    }
}

/// The list of libraries, which the daemon keeps and no launch looks at: images carry all of their
/// memory.
extension Cluster {
    /// The names, in the order in which they were added.
    public func libraries() throws(BProcError) -> [String] {
        var list: UnsafeMutablePointer<CChar>?
        guard unsafe bproc_liblist(&list) == 0, let start = unsafe list else { throw .last() }
        defer { unsafe free(start) }
        var names: [String] = []
        var next = unsafe start
        while unsafe next.pointee != 0 {
            let name = unsafe String(cString: next)
            names.append(name)
            unsafe next += name.utf8.count + 1
        }
        return names
    }

    public func clearLibraries() throws(BProcError) {
        guard bproc_libclear() == 0 else { throw .last() }
    }

    /// A name that is on the list already stays where it is.
    public func addLibrary(_ name: String) throws(BProcError) {
        guard unsafe bproc_libadd(name) == 0 else { throw .last() }
    }

    /// - Throws: ENOENT if it is not on the list.
    public func removeLibrary(_ name: String) throws(BProcError) {
        guard unsafe bproc_libdel(name) == 0 else { throw .last() }
    }
}
