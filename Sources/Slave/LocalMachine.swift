import CSystem
import System
import Wire

extension Hello.Machine {
    /// The machine this daemon runs on, as far as /proc tells.
    static var local: Hello.Machine {
        Hello.Machine(identity: bootIdentity, coreCount: UInt16(clamping: bp_core_count()))
    }

    /// The first 16 hexadecimal digits of the kernel's boot id, which containers and network
    /// namespaces share. 0: there is no /proc.
    private static var bootIdentity: UInt64 {
        let number = unsafe "/proc/sys/kernel/random/boot_id".withCString {
            unsafe bp_open_read_only($0)
        }
        guard number >= 0 else { return 0 }
        let file = OwnedDescriptor(adopting: Int32(number))
        var text = [UInt8](repeating: 0, count: 36)
        let count = unsafe text.withUnsafeMutableBytes {
            unsafe bp_read(file.number, $0.baseAddress!, $0.count)
        }
        guard count == text.count else { return 0 }
        let digits = text.filter { $0 != UInt8(ascii: "-") }.prefix(16)
        return UInt64(String(decoding: digits, as: UTF8.self), radix: 16) ?? 0
    }
}
