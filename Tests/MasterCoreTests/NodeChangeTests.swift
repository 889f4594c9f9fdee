import MasterCore
import Relay
import Testing
import Wire

/// A master's table with nodes 0 and 1 connected and node 2 down.
struct Table {
    static let root = Caller(user: 0, group: 0, supplementaryGroups: [])
    static let owner = Caller(user: 1000, group: 100, supplementaryGroups: [24, 27])
    static let other = Caller(user: 1001, group: 100, supplementaryGroups: [27])

    var state: MasterState
    var effects: [MasterEffect] = []
    /// The number of the latest order to a node.
    var lastOrder: UInt32 = 0

    init(newcomers: NodePermission = NodePermission()) {
        var configuration = MasterState.Configuration(
            nodeCount: 3, pingTimeoutNanoseconds: 10_000_000_000)
        configuration.newcomers = newcomers
        state = MasterState(configuration: configuration, firstLaunch: 1, now: 0)
        for node in 0..<2 { connect(Int32(node), link: UInt64(node) + 1) }
        effects.removeAll()
    }

    mutating func connect(_ node: Int32, link: UInt64) {
        state.receiveHello(
            Hello(role: .slave, node: node, address: NodeAddress.unspecified, incarnation: 1),
            peer: NodeAddress(ipv4: 127, 0, 0, UInt8(node + 2), port: 9), from: LinkID(link),
            now: 0, effects: &effects)
    }

    /// - Returns: the error number of the refusal, 0 for none.
    mutating func change(_ node: Int32, _ change: NodeChange, by caller: Caller) -> Int32 {
        do {
            try state.change(node, change, by: caller, now: 1, effects: &effects)
            return 0
        } catch {
            #expect(!error.sentence.isEmpty)
            return error.errorNumber
        }
    }

    func record(_ node: Int32) throws -> NodeRecord { try #require(state.nodes.record(of: node)) }
}

@Suite struct NodeChangeTests {
    @Test func rootChangesEverything() throws {
        var table = Table()
        for change: NodeChange in [
            .state("error"), .mode(0o101), .user(1000), .group(24),
            .attribute(name: "cpus", value: [8]),
        ] { #expect(table.change(1, change, by: Table.root) == 0) }
        let record = try table.record(1)
        #expect(record.state == "error" && record.mode == 0o101)
        #expect(record.user == 1000 && record.group == 24)
        #expect(try table.state.nodes.attribute("cpus", of: 1) == [8])
        #expect(try table.record(0).state == "up")
    }

    @Test func ownersChangeModeAndGroupAlone() throws {
        var table = Table(newcomers: NodePermission(mode: 0o111, user: 1000, group: 100))
        #expect(table.change(0, .mode(0o100), by: Table.owner) == 0)
        #expect(table.change(0, .group(27), by: Table.owner) == 0)
        #expect(table.change(0, .group(28), by: Table.owner) == FailureCode.notPermitted)
        #expect(table.change(0, .user(1000), by: Table.owner) == FailureCode.notPermitted)
        #expect(table.change(0, .state("up"), by: Table.owner) == FailureCode.notPermitted)
        #expect(table.change(0, .state("down"), by: Table.owner) == FailureCode.notPermitted)
        #expect(
            table.change(0, .attribute(name: "a", value: []), by: Table.owner)
                == FailureCode.notPermitted)
        #expect(table.change(0, .mode(0o111), by: Table.other) == FailureCode.notPermitted)
        #expect(table.change(0, .group(27), by: Table.other) == FailureCode.notPermitted)
        #expect(try table.record(0).mode == 0o100 && table.record(0).group == 27)
    }

    @Test func wrongValuesChangeNothing() throws {
        var table = Table()
        let before = try table.record(0)
        let revision = table.state.nodes.revision
        let refused: [(NodeChange, Int32)] = [
            (.mode(0o755), FailureCode.notPermitted),
            (.mode(.max), FailureCode.notPermitted),
            (.state("sixteencharacter"), FailureCode.noSpace),
            (.state(""), FailureCode.invalidArgument),
            (.state("not_one"), FailureCode.invalidArgument),
            (.state("käse"), FailureCode.invalidArgument),
            (.attribute(name: "", value: []), FailureCode.invalidArgument),
            (.attribute(name: "addr", value: []), FailureCode.notPermitted),
            (
                .attribute(name: String(repeating: "n", count: 64), value: []),
                FailureCode.noSpace
            ),
            (
                .attribute(name: "n", value: [UInt8](repeating: 0, count: 65)),
                FailureCode.noSpace
            ),
        ]
        for (change, number) in refused {
            #expect(table.change(0, change, by: Table.root) == number, "\(change)")
        }
        #expect(try table.record(0) == before)
        #expect(table.state.nodes.revision == revision)
        #expect(table.effects == [])
    }

    @Test(arguments: [-1, 3, -3, Int32.max, Int32.min])
    func onlyNodesOfTheTableChange(node: Int32) {
        var table = Table()
        table.connect(-1, link: 9)
        #expect(table.change(node, .state("error"), by: Table.root) == FailureCode.invalidNode)
        #expect(table.change(node, .state("down"), by: Table.root) == FailureCode.invalidNode)
    }

    @Test func downNodesHaveNothingToChange() {
        var table = Table()
        #expect(table.change(2, .state("up"), by: Table.root) == FailureCode.invalidArgument)
        #expect(table.change(2, .mode(0o111), by: Table.root) == FailureCode.notPermitted)
        #expect(
            table.change(2, .attribute(name: "a", value: []), by: Table.root)
                == FailureCode.noData)
        // What is wanted is the case already.
        #expect(table.change(2, .state("down"), by: Table.root) == 0)
    }

    @Test func downDisconnectsAndForgets() throws {
        var table = Table(newcomers: NodePermission(mode: 0o110, user: 7, group: 8))
        #expect(table.change(0, .attribute(name: "a", value: [1]), by: Table.root) == 0)
        #expect(table.change(0, .mode(0o111), by: Table.root) == 0)
        #expect(table.change(0, .state("down"), by: Table.root) == 0)
        #expect(table.effects.contains(.nodeIsGone(0, LinkID(1))))
        let isClosed = table.effects.contains {
            if case .refuse(LinkID(1), _) = $0 { return true }
            return false
        }
        #expect(isClosed)
        let down = try table.record(0)
        #expect(down.state == "down" && down.mode == 0 && down.user == 0 && !down.isUp)
        table.connect(0, link: 5)
        let again = try table.record(0)
        #expect(again.mode == 0o110 && again.user == 7 && again.group == 8)
        #expect(again.attributes.isEmpty)
    }

    @Test func attributesAreBounded() throws {
        var table = Table()
        for number in 0..<32 {
            #expect(
                table.change(0, .attribute(name: "a\(number)", value: []), by: Table.root) == 0)
        }
        #expect(
            table.change(0, .attribute(name: "more", value: []), by: Table.root)
                == FailureCode.noSpace)
        #expect(table.change(0, .attribute(name: "a31", value: [1]), by: Table.root) == 0)
        #expect(try table.state.nodes.attribute("a31", of: 0) == [1])
        #expect(throws: NodeRefusal.self) { try table.state.nodes.attribute("a31", of: 1) }
    }

    /// Who watches the table is woken by what he can see, and by nothing else.
    @Test func theRevisionFollowsWhatIsShown() {
        var table = Table()
        func changes(_ body: (inout Table) -> Void) -> Bool {
            let before = table.state.nodes.revision
            body(&table)
            return table.state.nodes.revision != before
        }
        #expect(changes { _ = $0.change(0, .state("error"), by: Table.root) })
        #expect(!changes { _ = $0.change(0, .state("error"), by: Table.root) })
        #expect(changes { _ = $0.change(0, .attribute(name: "a", value: []), by: Table.root) })
        #expect(changes { $0.connect(2, link: 7) })
        #expect(!changes { $0.connect(-1, link: 8) })
        #expect(
            changes {
                $0.state.controlIsLost(LinkID(7), reason: "", now: 1, effects: &$0.effects)
            })
        #expect(
            !changes {
                try? $0.state.receiveControl(
                    FrameHeader(.pong), body: [], from: LinkID(1), now: 5, effects: &$0.effects)
            })
    }
}
