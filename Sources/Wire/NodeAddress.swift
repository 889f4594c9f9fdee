/// Where a daemon listens: 20 bytes on the wire, IPv4 or IPv6.
public struct NodeAddress: Hashable, Sendable, CustomStringConvertible {
    public static let byteCount = 20

    public enum Family: UInt8, Sendable {
        case none = 0
        case ipv4 = 4
        case ipv6 = 6
    }

    public var family: Family
    public var port: UInt16
    /// Network order; IPv4 uses the first four.
    public var octets: [16 of UInt8]

    public init(family: Family, port: UInt16, octets: [16 of UInt8]) {
        self.family = family
        self.port = port
        self.octets = octets
    }

    public init(ipv4 a: UInt8, _ b: UInt8, _ c: UInt8, _ d: UInt8, port: UInt16) {
        var octets = [16 of UInt8](repeating: 0)
        octets[0] = a
        octets[1] = b
        octets[2] = c
        octets[3] = d
        self.init(family: .ipv4, port: port, octets: octets)
    }

    /// No address: "the one you see me at".
    public static let unspecified = NodeAddress(
        family: .none, port: 0, octets: [16 of UInt8](repeating: 0))

    /// Whether both are addresses of one interface, whatever their ports are.
    public func isSameHost(as other: NodeAddress) -> Bool {
        family != .none && family == other.family
            && (0..<16).allSatisfy { octets[$0] == other.octets[$0] }
    }

    /// The next address: the last octets count up.
    public var successor: NodeAddress {
        var next = self
        for index in (0..<(family == .ipv4 ? 4 : 16)).reversed() {
            next.octets[index] &+= 1
            if next.octets[index] != 0 { break }
        }
        return next
    }

    /// 0.0.0.0, with any port.
    public var isUnspecifiedIPv4: Bool {
        family == .ipv4 && (0..<4).allSatisfy { octets[$0] == 0 }
    }

    /// Whether the address is on the machine that looks at it.
    public var isLoopback: Bool {
        switch family {
        case .none: false
        case .ipv4: octets[0] == 127
        case .ipv6:
            // Also an IPv4 peer of a socket that takes both families: ::ffff:127.0.0.1.
            (0..<15).allSatisfy { octets[$0] == 0 } && octets[15] == 1
                || (0..<10).allSatisfy { octets[$0] == 0 } && octets[10] == 0xff
                    && octets[11] == 0xff && octets[12] == 127
        }
    }

    public static func == (left: NodeAddress, right: NodeAddress) -> Bool {
        guard left.family == right.family, left.port == right.port else { return false }
        for index in 0..<16 where left.octets[index] != right.octets[index] { return false }
        return true
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(family)
        hasher.combine(port)
        for index in 0..<16 { hasher.combine(octets[index]) }
    }

    public var description: String {
        switch family {
        case .none: "no address"
        case .ipv4: "\(octets[0]).\(octets[1]).\(octets[2]).\(octets[3]):\(port)"
        case .ipv6:
            "["
                + stride(from: 0, to: 16, by: 2).map {
                    String(UInt16(octets[$0]) << 8 | UInt16(octets[$0 + 1]), radix: 16)
                }.joined(separator: ":") + "]:\(port)"
        }
    }

    public func write(to writer: inout WireWriter) {
        writer.write(family.rawValue)
        writer.write(UInt8(0))
        writer.write(port)
        for index in 0..<16 { writer.write(octets[index]) }
    }

    public init(from reader: inout WireReader) throws(WireError) {
        let rawFamily = try reader.read(UInt8.self, "address family")
        guard let family = Family(rawValue: rawFamily) else {
            throw .invalidValue(field: "address family", value: UInt64(rawFamily))
        }
        _ = try reader.read(UInt8.self, "address padding")
        let port = try reader.read(UInt16.self, "address port")
        var octets = [16 of UInt8](repeating: 0)
        for index in 0..<16 { octets[index] = try reader.read(UInt8.self, "address") }
        self.init(family: family, port: port, octets: octets)
    }
}
