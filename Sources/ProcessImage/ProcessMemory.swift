import CSystem
import System

/// The memory of a process that does not run meanwhile: it is stopped under trace.
struct ProcessMemory {
    let pid: Int32

    /// Reads memory that may have holes. Answers how many bytes came before the first hole.
    func read(_ address: UInt64, into bytes: UnsafeMutableRawBufferPointer) -> Int {
        guard let base = bytes.baseAddress else { return 0 }
        let count = unsafe bp_trace_read(pid, address, base, bytes.count)
        return max(0, count)
    }

    func bytes(_ address: UInt64, count: Int) throws(CaptureError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let got = unsafe bytes.withUnsafeMutableBytes { unsafe read(address, into: $0) }
        guard got == count else {
            throw .system(SystemCallError("read memory at \(hex(address))", errorNumber: 14))
        }
        return bytes
    }

    /// 64 bits, little endian.
    func word(_ address: UInt64) throws(CaptureError) -> UInt64 {
        try bytes(address, count: 8).reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
}
