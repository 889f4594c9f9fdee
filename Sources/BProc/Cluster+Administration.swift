import CBProc

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
