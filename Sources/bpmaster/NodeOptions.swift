import ArgumentParser
import Link
import MasterCore
import NodeSpec
import System
import Wire

/// Which nodes there are, what they are called, and who may use them.
struct NodeOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The nodes: how many (they are 0 to n-1), or their numbers, as 0-63,100-163.",
            valueName: "nodes"))
    var nodes = "1024"

    @Option(
        help: ArgumentHelp(
            """
            Nodes that are known by their addresses: the numbers, and the address of the first; \
            the others have those that follow it. They are taken in from there only. May be \
            repeated.
            """, valueName: "nodes=addr"))
    var address: [String] = []

    @Option(
        help: ArgumentHelp(
            "A name for nodes: users write @name. May be repeated.", valueName: "name=nodes"))
    var group: [String] = []

    @Option(
        help: ArgumentHelp(
            "Who may use a node that connects: execute bits, as of chmod.", valueName: "octal"))
    var nodeMode = "111"

    @Option(
        help: ArgumentHelp(
            "Owner of a node that connects, and its group, as numbers.",
            valueName: "user[:group]"))
    var nodeOwner = "0:0"

    private static let countLimit = 65536

    func numbers() throws -> NodeSet {
        if nodes.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) {
            guard let count = Int32(nodes), (1...Int32(Self.countLimit)).contains(count) else {
                throw ValidationError("--nodes '\(nodes)' must be 1 to \(Self.countLimit)")
            }
            return NodeSet(0...NodeNumber(count - 1))
        }
        let set = try Self.set(nodes, of: "--nodes '\(nodes.prefix(64))'")
        guard set.highest! < NodeNumber(Int32(Self.countLimit)) else {
            throw ValidationError(
                "--nodes '\(nodes.prefix(64))': numbers go up to \(Self.countLimit - 1)")
        }
        return set
    }

    private static func set(_ text: String, of option: String) throws -> NodeSet {
        let specification: NodeSpecification
        do throws(NodeSpecificationError) {
            specification = try NodeSpecification(parsing: text)
        } catch {
            throw ValidationError("\(option): \(error)")
        }
        guard let set = specification.numbers else {
            throw ValidationError("\(option) holds more than numbers and ranges, or nothing")
        }
        return set
    }

    func groups() throws -> NodeGroups {
        var groups = NodeGroups()
        for text in group {
            guard let (name, members) = Self.split(text) else {
                throw ValidationError("--group '\(text.prefix(64))' is not name=nodes")
            }
            guard groups.sets[name] == nil else {
                throw ValidationError("--group '\(name)' is there twice")
            }
            do throws(NodeSpecificationError) {
                try groups.add(name, members)
            } catch {
                throw ValidationError("--group '\(name.prefix(64))': \(error)")
            }
        }
        guard groups.text.utf8.count <= NodeGroups.textByteLimit else {
            throw ValidationError("all --group together are too long")
        }
        return groups
    }

    private static func split(_ text: String) -> (String, String)? {
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        return parts.count == 2 ? (String(parts[0]), String(parts[1])) : nil
    }

    func addressTable() throws -> [Int32: NodeAddress] {
        var table: [Int32: NodeAddress] = [:]
        var owner: [NodeAddress: Int32] = [:]
        let known = address.isEmpty ? NodeSet() : try numbers()
        for text in address {
            guard let (members, first) = Self.split(text),
                let socketAddress = SocketAddress(first, defaultPort: 0), socketAddress.port == 0
            else {
                throw ValidationError("--address '\(text.prefix(64))' is not nodes=address")
            }
            let option = "--address '\(text.prefix(64))'"
            var next = NodeAddress(socketAddress)
            for number in try Self.set(members, of: option) {
                let node = number.rawValue
                guard known.contains(number) else {
                    throw ValidationError("\(option): there is no node \(node) in --nodes")
                }
                guard table.updateValue(next, forKey: node) == nil else {
                    throw ValidationError("\(option): node \(node) has an address already")
                }
                if let other = owner.updateValue(node, forKey: next) {
                    throw ValidationError("\(option): node \(other) has the same address")
                }
                next = next.successor
            }
        }
        return table
    }

    func newcomers() throws -> NodePermission {
        guard let mode = UInt32(nodeMode, radix: 8), mode & ~0o111 == 0 else {
            throw ValidationError("--node-mode '\(nodeMode)' is no octal number of the bits 111")
        }
        let parts = nodeOwner.split(separator: ":", omittingEmptySubsequences: false)
        let numbers = parts.compactMap { UInt32($0) }
        guard (1...2).contains(parts.count), numbers.count == parts.count else {
            throw ValidationError("--node-owner '\(nodeOwner)' is not user or user:group")
        }
        return NodePermission(
            mode: mode, user: numbers[0], group: numbers.count > 1 ? numbers[1] : 0)
    }
}
