public import System
public import Wire

extension SocketAddress {
    /// The socket address a node address names, or nil for "no address".
    public init?(_ address: NodeAddress) {
        switch address.family {
        case .none: return nil
        case .ipv4:
            self.init(
                family: .ipv4, octets: (0..<4).map { address.octets[$0] }, port: address.port)
        case .ipv6:
            self.init(
                family: .ipv6, octets: (0..<16).map { address.octets[$0] }, port: address.port)
        }
    }
}

extension NodeAddress {
    public init(_ address: SocketAddress) {
        var octets = [16 of UInt8](repeating: 0)
        for (index, octet) in address.octets.enumerated() { octets[index] = octet }
        self.init(
            family: address.family == .ipv4 ? .ipv4 : .ipv6, port: address.port, octets: octets)
    }
}
