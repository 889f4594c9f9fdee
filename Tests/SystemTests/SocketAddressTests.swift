import System
import Testing

@Suite struct SocketAddressTests {
    @Test(arguments: [
        "127.0.0.1:2223", "0.0.0.0:0", "255.255.255.255:65535", "[0:0:0:0:0:0:0:1]:2223",
        "[2001:db8:0:0:0:ff00:42:8329]:80",
    ])
    func textComesBack(_ text: String) throws {
        let address = try #require(SocketAddress(text, defaultPort: 1))
        #expect(address.description == text)
        #expect(SocketAddress(address.raw) == address)
    }

    @Test(arguments: [
        "", ":", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:+1", "127.0.0.1: 1",
        "127.0.0.256:1", "+1.2.3.4:1", "-0.0.0.0", "1.2.3:4", "1.2.3.4.5", "1..2.3", "010.0.0.1",
        "localhost:1", "[::1]80", "[::1", "[::1]:", "[::1]:+1", "[127.0.0.1]:1", "[::g]:1", ":::",
        "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::", "::+ff", "12345::",
        "[fe80::1%no-such-interface]:1", "127.0.0.1:1:2", "127.0.0.1\u{0}:1", "١.2.3.4",
    ])
    func nonsenseIsRefused(_ text: String) {
        #expect(SocketAddress(text, defaultPort: 1) == nil)
    }

    @Test func aDefaultPortMayStandIn() {
        #expect(SocketAddress("10.0.0.1", defaultPort: 7)?.description == "10.0.0.1:7")
        #expect(SocketAddress("10.0.0.1:8", defaultPort: 7)?.port == 8)
        for text in ["::1", "[::1]"] {
            let address = SocketAddress(text, defaultPort: 7)
            #expect(address?.port == 7 && address?.octets == Array(repeating: 0, count: 15) + [1])
        }
    }

    @Test func loopbackIsKnown() {
        for text in ["127.0.0.1:1", "127.255.3.4:1", "[::1]:1", "[::ffff:7f00:1]:1"] {
            #expect(SocketAddress(text, defaultPort: 1)?.isLoopback == true, "\(text)")
        }
        for text in ["128.0.0.1:1", "[::2]:1", "[::ffff:a00:1]:1", "0.0.0.0:1", "[::]:1"] {
            #expect(SocketAddress(text, defaultPort: 1)?.isLoopback == false, "\(text)")
        }
    }

    @Test func socketsKnowTheirAddresses() throws {
        let any = try #require(SocketAddress("127.0.0.1", defaultPort: 0))
        let listener = try Socket.listening(on: any)
        let address = try #require(Socket.localAddress(of: listener.number))
        #expect(address.octets == [127, 0, 0, 1] && address.port != 0)
        #expect(Socket.peerAddress(of: listener.number) == nil)
        let error = #expect(throws: SystemCallError.self) {
            _ = try Socket.listening(on: address)
        }
        #expect(error?.errorNumber == 98)
        #expect(error?.description.contains(address.description) == true)
    }
}
