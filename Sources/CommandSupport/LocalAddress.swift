/// Loopback addresses for the nodes of a cluster on one machine.
public enum LocalAddress {
    /// The master's.
    public static let master = "127.0.0.1"
    /// As many nodes as have an address of their own.
    public static let nodeCountLimit = 250 * 254 * 254

    /// 127.1.1.1 and up. No part is 0 or 255: such addresses look like networks and broadcasts to
    /// other tools.
    public static func node(_ number: Int) -> String {
        precondition((0..<nodeCountLimit).contains(number), "no address for node \(number)")
        let third = number / 254 % 254
        return "127.\(1 + number / (254 * 254)).\(1 + third).\(1 + number % 254)"
    }
}
