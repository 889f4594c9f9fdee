import Testing
import Wire

@Suite struct NodeAddressTests {
    private func ipv6(_ octets: [UInt8]) -> NodeAddress {
        var address = NodeAddress.unspecified
        address.family = .ipv6
        for (index, octet) in octets.enumerated() { address.octets[index] = octet }
        return address
    }

    @Test func theCallersAddressStandsForNone() {
        func item(_ address: NodeAddress) -> Descriptors.Item {
            Descriptors.Item(descriptor: 3, flags: 1, target: .socket(address))
        }
        let none = item(NodeAddress(ipv4: 0, 0, 0, 0, port: 7))
        let other = item(NodeAddress(ipv4: 10, 0, 0, 9, port: 8))
        var descriptors = Descriptors.listed([none, other])
        descriptors.nameCaller(NodeAddress(ipv4: 10, 0, 0, 1, port: 2223))
        #expect(
            descriptors == .listed([item(NodeAddress(ipv4: 10, 0, 0, 1, port: 7)), other]))
    }

    @Test func loopback() {
        let zeros = [UInt8](repeating: 0, count: 10)
        #expect(NodeAddress(ipv4: 127, 3, 2, 1, port: 9).isLoopback)
        #expect(ipv6(zeros + [0, 0, 0, 0, 0, 1]).isLoopback)
        // As a socket that takes both families shows an IPv4 peer.
        #expect(ipv6(zeros + [0xff, 0xff, 127, 0, 0, 9]).isLoopback)

        #expect(!NodeAddress.unspecified.isLoopback)
        #expect(!NodeAddress(ipv4: 10, 0, 0, 1, port: 9).isLoopback)
        #expect(!ipv6(zeros + [0xff, 0xff, 10, 0, 0, 1]).isLoopback)
        #expect(!ipv6(zeros + [0, 0, 127, 0, 0, 1]).isLoopback)
        #expect(!ipv6([0x20, 1] + zeros + [0, 0, 0, 1]).isLoopback)
    }
}
