import MasterCore
import Relay
import Testing
import Wire

/// Who keeps a place, who takes it over, and who is refused.
@Suite struct MembershipTests {
    static let host = NodeAddress(ipv4: 10, 0, 0, 1, port: 9)
    static let other = NodeAddress(ipv4: 10, 1, 0, 1, port: 9)

    private struct Cluster {
        var state: MasterState
        var effects: [MasterEffect] = []
        var now: UInt64 = 1_000_000_000

        init(grace: UInt64 = 5_000_000_000) {
            var configuration = MasterState.Configuration(
                nodeCount: 3, pingTimeoutNanoseconds: 10_000_000_000)
            configuration.graceNanoseconds = grace
            state = MasterState(
                configuration: configuration, firstLaunch: 70, identity: 42, cookieSeed: 7,
                now: now)
        }

        mutating func hello(
            _ node: Int32, _ membership: Membership = .none, incarnation: UInt64 = 1,
            peer: NodeAddress = host, link: UInt64
        ) -> [MasterEffect] {
            var hello = Hello(
                role: .slave, node: node, address: .unspecified, incarnation: incarnation)
            hello.membership = membership
            hello.receivedCount = 5
            effects.removeAll()
            state.receiveHello(hello, peer: peer, from: LinkID(link), now: now, effects: &effects)
            return effects
        }

        /// - Returns: what it is let in with.
        mutating func join(_ node: Int32, link: UInt64) throws -> Membership {
            for effect in hello(node, link: link) {
                if case .welcome(LinkID(link), let welcome) = effect { return welcome.membership }
            }
            throw WireError.invalidValue(field: "welcome", value: 0)
        }

        mutating func cut(_ link: UInt64) {
            effects.removeAll()
            state.controlIsCut(LinkID(link), reason: "cut", now: now, effects: &effects)
        }

        mutating func tick(after nanoseconds: UInt64) {
            now += nanoseconds
            effects.removeAll()
            state.tick(now: now, effects: &effects)
        }

        func shownState(_ node: Int32) -> String? {
            state.nodes.record(of: node)?.shownState
        }
    }

    private static func isRefused(_ effects: [MasterEffect], link: UInt64) -> Bool {
        effects.contains {
            if case .refuse(LinkID(link), _) = $0 { return true }
            return false
        } && effects.count == 1
    }

    @Test func aPlaceIsKeptByItsLink() throws {
        var cluster = Cluster()
        let membership = try cluster.join(0, link: 1)
        #expect(membership.master == 42)
        let effects = cluster.hello(0, membership, peer: Self.other, link: 2)
        guard case .resume(LinkID(1), by: LinkID(2), receivedCount: 5, let welcome)? = effects.first
        else {
            Issue.record("\(effects)")
            return
        }
        #expect(welcome.membership == membership && welcome.node == 0)
        #expect(cluster.state.nodes.node(of: LinkID(1)) == 0)
        #expect(cluster.state.nodes.node(of: LinkID(2)) == nil)
        #expect(cluster.shownState(0) == "up")
    }

    @Test func whoHasNoPlaceIsRefused() throws {
        var cluster = Cluster()
        var membership = try cluster.join(0, link: 1)
        let second = try cluster.join(1, link: 2)
        #expect(second.cookie != membership.cookie)
        // Another node's, another start's, nobody's, and one of a place that was given up.
        #expect(Self.isRefused(cluster.hello(0, second, link: 3), link: 3))
        #expect(Self.isRefused(cluster.hello(0, membership, incarnation: 2, link: 3), link: 3))
        #expect(Self.isRefused(cluster.hello(2, membership, link: 3), link: 3))
        membership.cookie ^= 1
        #expect(Self.isRefused(cluster.hello(0, membership, link: 3), link: 3))
        cluster.cut(2)
        cluster.tick(after: 6_000_000_000)
        #expect(cluster.shownState(1) == "down")
        #expect(Self.isRefused(cluster.hello(1, second, link: 3), link: 3))
        #expect(cluster.shownState(0) == "up")
    }

    @Test func anotherMastersSlaveIsANewcomer() throws {
        var cluster = Cluster()
        let foreign = Membership(master: 43, cookie: 1)
        let effects = cluster.hello(0, foreign, link: 1)
        guard case .welcome(LinkID(1), let welcome)? = effects.first else {
            Issue.record("\(effects)")
            return
        }
        #expect(welcome.membership.master == 42 && welcome.resumption == nil)
        #expect(Self.isRefused(cluster.hello(0, foreign, link: 2), link: 2))
    }

    @Test func aCutNodeIsAwayAndThenDown() throws {
        var cluster = Cluster()
        let membership = try cluster.join(0, link: 1)
        cluster.cut(1)
        #expect(cluster.shownState(0) == "away")
        #expect(!cluster.effects.contains(.nodeIsGone(0, LinkID(1))))
        // Cut twice is cut once.
        cluster.cut(1)
        #expect(cluster.effects.isEmpty)
        #expect(cluster.state.deadlineNanoseconds <= cluster.now + 5_000_000_000)
        cluster.tick(after: 4_000_000_000)
        #expect(cluster.shownState(0) == "away")
        _ = cluster.hello(0, membership, link: 2)
        #expect(cluster.shownState(0) == "up")
        cluster.cut(1)
        cluster.tick(after: 5_000_000_000)
        #expect(cluster.shownState(0) == "down")
        #expect(cluster.effects.contains(.nodeIsGone(0, LinkID(1))))
        #expect(cluster.state.nodes.upCount == 0)
    }

    @Test func withoutAGraceACutIsTheEnd() throws {
        var cluster = Cluster(grace: 0)
        _ = try cluster.join(0, link: 1)
        cluster.cut(1)
        #expect(cluster.shownState(0) == "down")
        #expect(cluster.effects.contains(.nodeIsGone(0, LinkID(1))))
    }

    @Test func silenceIsACut() throws {
        var cluster = Cluster(grace: 60_000_000_000)
        _ = try cluster.join(0, link: 1)
        cluster.tick(after: 11_000_000_000)
        #expect(cluster.effects.contains(.cut(LinkID(1))))
        #expect(cluster.shownState(0) == "away")
        // It is not asked again.
        cluster.tick(after: 11_000_000_000)
        #expect(
            !cluster.effects.contains {
                if case .control = $0 { return true }
                return false
            })
    }

    @Test func aSlaveThatWasStartedAgainTakesTheCutPlace() throws {
        var cluster = Cluster()
        _ = try cluster.join(0, link: 1)
        #expect(Self.isRefused(cluster.hello(0, incarnation: 2, link: 2), link: 2))
        cluster.cut(1)
        let effects = cluster.hello(0, incarnation: 2, link: 2)
        #expect(effects.contains(.nodeIsGone(0, LinkID(1))))
        #expect(cluster.state.nodes.node(of: LinkID(2)) == 0)
        #expect(cluster.shownState(0) == "up")
    }

    @Test func nobodyIsToldWhatHeCannotHear() throws {
        var cluster = Cluster()
        _ = try cluster.join(0, link: 1)
        cluster.cut(1)
        let root = Caller(user: 0, group: 0, supplementaryGroups: [])
        var number: Int32 = 0
        do {
            _ = try cluster.state.control(0, .reboot, by: root, effects: &cluster.effects)
        } catch {
            number = error.errorNumber
        }
        #expect(number == FailureCode.nodeDown)
        // What is said of it is kept for when it is back.
        try cluster.state.change(
            0, .state("repair"), by: root, now: cluster.now, effects: &cluster.effects)
        #expect(cluster.shownState(0) == "away")
    }

    /// It comes again before its machine has ended, and once more when it has begun anew.
    @Test func aSlaveThatIsBeingRebootedHasNoPlace() throws {
        var cluster = Cluster()
        let membership = try cluster.join(0, link: 1)
        let root = Caller(user: 0, group: 0, supplementaryGroups: [])
        #expect(
            try cluster.state.control(0, .reboot, by: root, effects: &cluster.effects) == 1)
        let answer = NodeControlAnswer().frame(number: 1)
        try cluster.state.receiveControl(
            FrameHeader(.nodeControlled, subject: 1),
            body: Array(answer[FrameHeader.byteCount...]), from: LinkID(1), now: cluster.now,
            effects: &cluster.effects)
        #expect(cluster.shownState(0) == "down")
        #expect(Self.isRefused(cluster.hello(0, membership, link: 2), link: 2))
        _ = cluster.hello(0, incarnation: 2, link: 3)
        #expect(cluster.state.nodes.node(of: LinkID(3)) == 0)
    }

    @Test func itLeaves() throws {
        var cluster = Cluster()
        _ = try cluster.join(0, link: 1)
        let frame = Refusal("gone").frame
        try cluster.state.receiveControl(
            FrameHeader(.refusal), body: Array(frame[FrameHeader.byteCount...]), from: LinkID(1),
            now: cluster.now, effects: &cluster.effects)
        #expect(cluster.shownState(0) == "down")
    }
}
