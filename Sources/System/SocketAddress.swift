public import CSystem

/// An IPv4 or IPv6 address with its port.
public struct SocketAddress: Equatable, Sendable, CustomStringConvertible {
    public enum Family: UInt8, Sendable {
        case ipv4 = 4
        case ipv6 = 6
    }

    public var family: Family
    /// Network order; IPv4 uses the first four.
    public var octets: [UInt8]
    public var port: UInt16

    public init(family: Family, octets: [UInt8], port: UInt16) {
        precondition(octets.count == (family == .ipv4 ? 4 : 16))
        self.family = family
        self.octets = octets
        self.port = port
    }

    /// Reads "127.0.0.1:2223", "127.0.0.1" (with the default port) or "[::1]:2223". Literals only:
    /// a node may have no resolver.
    public init?(_ text: String, defaultPort: UInt16) {
        var host = Substring(text)
        var port = defaultPort
        if text.hasPrefix("[") {
            guard let close = text.firstIndex(of: "]") else { return nil }
            host = text[text.index(after: text.startIndex)..<close]
            let rest = text[text.index(after: close)...]
            if !rest.isEmpty {
                guard rest.first == ":", let number = Self.port(rest.dropFirst()) else {
                    return nil
                }
                port = number
            }
            guard let octets = Self.ipv6Octets(host) else { return nil }
            self.init(family: .ipv6, octets: octets, port: port)
            return
        }
        let colons = text.count { $0 == ":" }
        if colons == 1 {
            let colon = text.firstIndex(of: ":")!
            host = text[..<colon]
            guard let number = Self.port(text[text.index(after: colon)...]) else { return nil }
            port = number
        } else if colons > 1 {
            guard let octets = Self.ipv6Octets(host) else { return nil }
            self.init(family: .ipv6, octets: octets, port: port)
            return
        }
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var octets: [UInt8] = []
        for part in parts {
            // A leading zero means octal to some readers and nothing to others.
            guard part.count == 1 || part.first != "0", Self.isDigits(part),
                let octet = UInt8(part)
            else { return nil }
            octets.append(octet)
        }
        self.init(family: .ipv4, octets: octets, port: port)
    }

    /// Numbers as they are written in addresses: the standard library's also take a sign.
    private static func isDigits(_ text: Substring) -> Bool {
        !text.isEmpty && text.utf8.allSatisfy { (0x30...0x39).contains($0) }
    }

    private static func port(_ text: Substring) -> UInt16? {
        isDigits(text) ? UInt16(text) : nil
    }

    private static func ipv6Octets(_ text: Substring) -> [UInt8]? {
        let halves = text.components(separatedByDoubleColon: ())
        guard halves.count <= 2 else { return nil }
        func groups(_ half: Substring) -> [UInt16]? {
            if half.isEmpty { return [] }
            var groups: [UInt16] = []
            for part in half.split(separator: ":", omittingEmptySubsequences: false) {
                guard (1...4).contains(part.count), part.allSatisfy(\.isHexDigit),
                    let group = UInt16(part, radix: 16)
                else { return nil }
                groups.append(group)
            }
            return groups
        }
        guard let head = groups(halves[0]) else { return nil }
        var all = head
        if halves.count == 2 {
            guard let tail = groups(halves[1]), head.count + tail.count < 8 else { return nil }
            all += Array(repeating: 0, count: 8 - head.count - tail.count) + tail
        }
        guard all.count == 8 else { return nil }
        return all.flatMap { [UInt8($0 >> 8), UInt8(truncatingIfNeeded: $0)] }
    }

    /// Whether the address is one of this machine's own loopback addresses.
    public var isLoopback: Bool {
        switch family {
        case .ipv4: octets[0] == 127
        case .ipv6:
            // Also an IPv4 peer of a socket that takes both families: ::ffff:127.0.0.1.
            octets.dropLast().allSatisfy { $0 == 0 } && octets[15] == 1
                || octets[..<10].allSatisfy { $0 == 0 } && octets[10] == 0xff
                    && octets[11] == 0xff && octets[12] == 127
        }
    }

    public var description: String {
        switch family {
        case .ipv4: octets.map { String($0) }.joined(separator: ".") + ":\(port)"
        case .ipv6:
            "["
                + stride(from: 0, to: 16, by: 2).map {
                    String(UInt16(octets[$0]) << 8 | UInt16(octets[$0 + 1]), radix: 16)
                }.joined(separator: ":") + "]:\(port)"
        }
    }

    /// The address as the shims take it.
    public var raw: bp_address {
        var raw = bp_address()
        raw.family = family.rawValue
        raw.port = port
        unsafe withUnsafeMutableBytes(of: &raw.octets) { bytes in
            for (index, octet) in octets.enumerated() { unsafe bytes[index] = octet }
        }
        return raw
    }

    public init?(_ raw: bp_address) {
        guard let family = Family(rawValue: raw.family) else { return nil }
        let octets = unsafe withUnsafeBytes(of: raw.octets) { bytes in
            unsafe Array(bytes.prefix(family == .ipv4 ? 4 : 16))
        }
        self.init(family: family, octets: octets, port: raw.port)
    }
}

extension Substring {
    fileprivate func components(separatedByDoubleColon: Void) -> [Substring] {
        var parts: [Substring] = []
        var start = startIndex
        var index = startIndex
        while index < endIndex {
            let next = self.index(after: index)
            if self[index] == ":", next < endIndex, self[next] == ":" {
                parts.append(self[start..<index])
                start = self.index(after: next)
                index = start
            } else {
                index = next
            }
        }
        parts.append(self[start...])
        return parts
    }
}
