import MasterCore
import NodeSpec
import Relay
import Testing
import Wire

/// When the site's programs run, and what becomes of the node.
@Suite struct HookTests {
    static let second: UInt64 = 1_000_000_000

    static func master(nodes: Int = 4, limit: Int = 16, kinds: Set<HookKind>) -> MasterState {
        var configuration = MasterState.Configuration(
            nodeCount: nodes, pingTimeoutNanoseconds: 1000 * second)
        configuration.hooks.kinds = kinds
        configuration.hooks.runningCount = limit
        configuration.hooks.timeoutNanoseconds = 10 * second
        return MasterState(configuration: configuration, firstLaunch: 1, now: 0)
    }

    static func connect(_ master: inout MasterState, _ node: Int32, at now: UInt64 = 0) -> [HookRun]
    {
        var effects: [MasterEffect] = []
        let hello = Hello(
            role: .slave, node: node, address: NodeAddress(ipv4: 127, 0, 0, 1, port: 9),
            incarnation: 7)
        master.receiveHello(
            hello, peer: NodeAddress(ipv4: 127, 0, 0, 1, port: 5), from: link(node), now: now,
            effects: &effects)
        return begun(effects)
    }

    static func link(_ node: Int32) -> LinkID { LinkID(UInt64(node) + 1) }

    static func begun(_ effects: [MasterEffect]) -> [HookRun] {
        effects.compactMap { if case .beginHook(let run) = $0 { run } else { nil } }
    }

    static func ended(_ effects: [MasterEffect]) -> [HookRun] {
        effects.compactMap { if case .endHook(let run) = $0 { run } else { nil } }
    }

    func end(
        _ master: inout MasterState, _ run: HookRun, _ outcome: HookOutcome
    ) -> [MasterEffect] {
        var effects: [MasterEffect] = []
        master.hookEnded(run.number, outcome, now: 0, effects: &effects)
        return effects
    }

    @Test func withoutAHookANodeIsUpAtOnce() {
        var master = Self.master(kinds: [])
        #expect(Self.connect(&master, 1) == [])
        #expect(master.nodes.record(of: 1)?.state == "up")
        #expect(master.nodes.record(of: 1)?.mode == 0o111)
    }

    @Test(arguments: [
        (HookOutcome.exited(0), "up", UInt32(0o111)), (.exited(3), "error", 0o100),
        (.failed("No such file or directory"), "error", 0o100),
    ])
    func theOutcomeIsTheState(outcome: HookOutcome, state: String, mode: UInt32) throws {
        var master = Self.master(kinds: [.nodeUp])
        let run = try #require(Self.connect(&master, 1).first)
        #expect(run.node == 1 && run.kind == .nodeUp)
        #expect(master.nodes.record(of: 1)?.state == "boot")
        #expect(master.nodes.record(of: 1)?.mode == 0o100)
        let effects = end(&master, run, outcome)
        #expect(master.nodes.record(of: 1)?.state == state)
        #expect(master.nodes.record(of: 1)?.mode == mode)
        let isWarned = effects.contains { if case .warning = $0 { true } else { false } }
        #expect(isWarned == (state == "error"))
    }

    @Test func aStateThatTheHookHasSetStays() throws {
        var master = Self.master(kinds: [.nodeUp])
        let run = try #require(Self.connect(&master, 1).first)
        var effects: [MasterEffect] = []
        let root = Caller(user: 0, group: 0, supplementaryGroups: [])
        try master.change(1, .state("spare"), by: root, now: 0, effects: &effects)
        _ = end(&master, run, .exited(0))
        #expect(master.nodes.record(of: 1)?.state == "spare")
    }

    @Test func aHookThatTakesTooLongIsEndedOnce() throws {
        var master = Self.master(kinds: [.nodeUp])
        let run = try #require(Self.connect(&master, 1).first)
        #expect(master.deadlineNanoseconds == 10 * Self.second)
        var effects: [MasterEffect] = []
        master.tick(now: 10 * Self.second, effects: &effects)
        #expect(Self.ended(effects) == [run])
        effects.removeAll()
        master.tick(now: 11 * Self.second, effects: &effects)
        #expect(Self.ended(effects) == [])
        // However its supervisor says that it has ended.
        _ = end(&master, run, .exited(0))
        #expect(master.nodes.record(of: 1)?.state == "error")
    }

    @Test func aLimitedNumberRunsAtATime() {
        var master = Self.master(limit: 2, kinds: [.nodeUp])
        var runs = (0..<4).flatMap { Self.connect(&master, Int32($0)) }
        #expect(runs.map(\.node) == [0, 1])
        runs += Self.begun(end(&master, runs[1], .exited(0)))
        #expect(runs.map(\.node) == [0, 1, 2])
        runs += Self.begun(end(&master, runs[0], .exited(1)))
        #expect(runs.map(\.node) == [0, 1, 2, 3])
    }

    @Test func aNodeThatLeavesEndsItsHook() throws {
        var master = Self.master(limit: 1, kinds: [.nodeUp, .nodeDown])
        let run = try #require(Self.connect(&master, 0).first)
        #expect(Self.connect(&master, 1) == [])
        var effects: [MasterEffect] = []
        master.controlIsLost(Self.link(0), reason: "test", now: 0, effects: &effects)
        #expect(Self.ended(effects) == [run])
        // Node 1 waits before node 0's way down; it never began, and leaves without a word.
        effects.removeAll()
        master.controlIsLost(Self.link(1), reason: "test", now: 0, effects: &effects)
        #expect(Self.begun(effects) == [] && Self.ended(effects) == [])
        // The node comes again while its old hook is still being ended.
        #expect(Self.connect(&master, 0) == [])
        let down = Self.begun(end(&master, run, .exited(143)))
        #expect(down.map(\.kind) == [.nodeDown])
        #expect(master.nodes.record(of: 0)?.state == "boot")
        let up = Self.begun(end(&master, down[0], .exited(0)))
        #expect(up.map(\.kind) == [.nodeUp] && up[0].node == 0)
        _ = end(&master, up[0], .exited(0))
        #expect(master.nodes.record(of: 0)?.state == "up")
    }

    // MARK: Reload

    @Test func aReloadKeepsWhatIsStillConfigured() {
        var master = Self.master(kinds: [])
        for node in Int32(0)..<4 { _ = Self.connect(&master, node) }
        var changed = master.configuration
        changed.nodes = [1, 3, 100]
        changed.newcomers.mode = 0o110
        var effects: [MasterEffect] = []
        master.reconfigure(changed, now: 0, effects: &effects)
        let refused = effects.compactMap { effect -> LinkID? in
            if case .refuse(let link, _) = effect { link } else { nil }
        }
        #expect(refused == [Self.link(0), Self.link(2)])
        #expect(master.nodes.records.map(\.node) == [1, 3, 100])
        #expect(master.nodes.records.map(\.state) == ["up", "up", "down"])
        #expect(master.nodes.node(of: Self.link(3)) == 3)
        #expect(master.nodes.node(of: Self.link(0)) == nil)
        _ = Self.connect(&master, 100)
        #expect(master.nodes.record(of: 100)?.mode == 0o110)
        #expect(master.nodes.record(of: 3)?.mode == 0o111)
        _ = Self.connect(&master, 2)
        #expect(master.nodes.record(of: 2) == nil)
    }

    @Test func anAddressIsANumber() {
        var configuration = MasterState.Configuration(
            nodes: [0, 5, 6], pingTimeoutNanoseconds: 1000 * Self.second)
        configuration.addresses = [
            5: NodeAddress(ipv4: 127, 0, 0, 1, port: 0), 6: NodeAddress(ipv4: 10, 0, 0, 6, port: 0),
        ]
        var master = MasterState(configuration: configuration, firstLaunch: 1, now: 0)
        _ = Self.connect(&master, 6)
        #expect(master.nodes.record(of: 6)?.isUp == false)
        var effects: [MasterEffect] = []
        let hello = Hello(
            role: .slave, node: Hello.noNode, address: NodeAddress(ipv4: 10, 0, 0, 6, port: 9),
            incarnation: 7)
        // What counts is the address that the kernel has seen.
        master.receiveHello(
            hello, peer: NodeAddress(ipv4: 127, 0, 0, 1, port: 5), from: Self.link(9), now: 0,
            effects: &effects)
        #expect(master.nodes.record(of: 5)?.isUp == true)
        #expect(master.nodes.record(of: 0)?.isUp == false)
    }
}
