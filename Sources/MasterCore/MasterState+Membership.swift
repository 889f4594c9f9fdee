public import Relay
public import Wire

// Who has a place with this master, and keeps it while the connection changes.
extension MasterState {
    /// A slave's first frame on a control link.
    public mutating func receiveHello(
        _ hello: Hello, peer: NodeAddress, from link: LinkID, now: UInt64,
        effects: inout [MasterEffect]
    ) {
        var address = peer
        if hello.address.family != .none { address = hello.address }
        address.port = hello.address.port
        var host = peer
        host.port = 0
        let arrival = Arrival(
            link: link, address: address, host: host,
            isLocal: peer.isLoopback || peer.isSameHost(as: configuration.address))
        // The membership of another master says nothing here: its slave is a newcomer.
        guard hello.membership.master != identity else {
            resume(hello, arrival, now: now, effects: &effects)
            return
        }
        guard hello.keptCount == 0 else {
            begin(KeptArrival(hello, arrival, now: now), effects: &effects)
            return
        }
        switch nodes.place(for: hello, arrival) {
        case .success(let node):
            admit(hello, as: node, arrival, now: now, effects: &effects)
        case .failure(let refusal):
            effects.append(.refuse(link, reason: refusal.sentence))
        }
    }

    /// Gives a slave its place.
    ///
    /// - Parameters:
    ///   - kept: processes that it brings along.
    ///   - taken: numbers that processes of the master's machine have.
    mutating func admit(
        _ hello: Hello, as node: Int32, _ arrival: Arrival, adopting kept: [KeptLaunch] = [],
        taken: Set<Int32> = [], now: UInt64, effects: inout [MasterEffect]
    ) {
        metrics.nodeArrivalCount += 1
        if let old = nodes.record(of: node)?.link {
            let reason = "its slave has been started again"
            effects.append(.refuse(old, reason: reason))
            controlIsLost(old, reason: reason, now: now, effects: &effects)
        }
        nodes.admit(hello, as: node, arrival, cookie: takeCookie(), now: now)
        if !kept.isEmpty {
            let adoption = adopt(
                kept, on: node, of: hello.membership.master, taken: taken, now: now,
                effects: &effects)
            effects.append(.control(arrival.link, frame: adoption.frame))
        }
        effects.append(.welcome(arrival.link, welcome(node)))
        effects.append(.note("node \(node) is up at \(arrival.address)"))
        nodeHasCome(node, now: now, effects: &effects)
    }

    /// A slave that has a place here comes by another connection, whether the old one is known to
    /// be cut or not. Its link stays what it was.
    private mutating func resume(
        _ hello: Hello, _ arrival: Arrival, now: UInt64, effects: inout [MasterEffect]
    ) {
        let node = hello.node
        guard let record = nodes.record(of: node), let link = record.link,
            record.cookie == hello.membership.cookie, record.incarnation == hello.incarnation
        else {
            let reason = "node \(node) has no place here any more: it has to come anew"
            effects.append(.refuse(arrival.link, reason: reason))
            return
        }
        if let refusal = nodes.refusal(of: node, arrival) {
            effects.append(.refuse(arrival.link, reason: refusal.sentence))
            return
        }
        nodes.resume(node, arrival, now: now)
        effects.append(
            .resume(
                link, by: arrival.link, receivedCount: hello.receivedCount, welcome(node)))
        effects.append(.note("node \(node) has come again, from \(arrival.host)"))
    }

    private func welcome(_ node: Int32) -> Welcome {
        Welcome(
            node: node,
            heartbeatMilliseconds: UInt32(
                clamping: configuration.pingTimeoutNanoseconds / 1_000_000),
            nodeCount: UInt32(nodes.count),
            graceMilliseconds: UInt32(clamping: configuration.graceNanoseconds / 1_000_000),
            membership: Membership(
                master: identity, cookie: nodes.record(of: node)?.cookie ?? 0))
    }

    /// Numbers that nobody guesses by mistake: SplitMix64.
    private mutating func takeCookie() -> UInt64 {
        cookieSeed &+= 0x9e37_79b9_7f4a_7c15
        var mixed = cookieSeed
        mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return mixed ^ mixed >> 31
    }

    // MARK: Cuts

    /// The connection to a slave has broken, or its end is silent: the node is down, or has its
    /// place kept for the grace time.
    public mutating func controlIsCut(
        _ link: LinkID, reason: String, now: UInt64, effects: inout [MasterEffect]
    ) {
        arrivals[link] = nil
        guard configuration.graceNanoseconds > 0, let node = nodes.node(of: link) else {
            controlIsLost(link, reason: reason, now: now, effects: &effects)
            return
        }
        guard nodes.cut(node, now: now) else { return }
        let seconds = configuration.graceNanoseconds / 1_000_000_000
        effects.append(
            .warning("node \(node) is away: \(reason); it has \(seconds) s to come again"))
        giveUpQuestions(to: node, effects: &effects)
    }

    /// - Parameter cause: what that is to the processes of the node.
    public mutating func controlIsLost(
        _ link: LinkID, reason: String, cause: RankEndCause = .nodeDied, now: UInt64,
        effects: inout [MasterEffect]
    ) {
        arrivals[link] = nil
        guard let node = nodes.lose(link) else { return }
        metrics.nodeLossCount += 1
        effects.append(.note("node \(node) is down: \(reason)"))
        effects.append(.nodeIsGone(node, link))
        giveUpControls(of: node, effects: &effects)
        nodeHasGone(node, now: now, effects: &effects)
        giveUpQuestions(to: node, effects: &effects)
        for launch in launches.keys.sorted() {
            if launches[launch]?.origin?.node == node {
                condemn(launch, reason: reason, now: now, effects: &effects)
            }
            nodeIsDown(
                node, launch: launch, reason: reason, cause: cause, now: now, effects: &effects)
        }
    }

    /// Asks every slave for a sign of life, and gives up those that show none.
    mutating func ping(now: UInt64, effects: inout [MasterEffect]) {
        guard now >= pingNanoseconds + configuration.pingTimeoutNanoseconds / 2 else { return }
        pingNanoseconds = now
        let frame = FrameHeader.frame(FrameHeader(.ping))
        for record in nodes.connected where record.isReachable {
            guard let link = record.link else { continue }
            let silence = now - min(now, record.heardNanoseconds)
            guard silence > configuration.pingTimeoutNanoseconds else {
                effects.append(.control(link, frame: frame))
                continue
            }
            let reason = "no answer for \(silence / 1_000_000) ms"
            effects.append(
                configuration.graceNanoseconds > 0
                    ? .cut(link) : .refuse(link, reason: reason))
            controlIsCut(link, reason: reason, now: now, effects: &effects)
        }
    }

    /// Gives up those whose grace is over.
    mutating func endOverdueCuts(now: UInt64, effects: inout [MasterEffect]) {
        guard now >= cutDeadlineNanoseconds else { return }
        for record in nodes.connected {
            guard let cut = record.cutNanoseconds, let link = record.link,
                now >= cut + configuration.graceNanoseconds
            else { continue }
            controlIsLost(
                link, reason: "it has not come again", now: now, effects: &effects)
        }
    }

    var cutDeadlineNanoseconds: UInt64 {
        guard nodes.cutCount > 0 else { return .max }
        let earliest = nodes.connected.compactMap(\.cutNanoseconds).min() ?? 0
        return earliest + configuration.graceNanoseconds
    }
}

extension NodeTable {
    /// - Returns: false: it was cut already.
    mutating func cut(_ node: Int32, now: UInt64) -> Bool {
        guard var record = record(of: node), record.isReachable else { return false }
        record.cutNanoseconds = now
        cutCount += 1
        replace(node, by: record)
        return true
    }

    mutating func resume(_ node: Int32, _ arrival: Arrival, now: UInt64) {
        guard var record = record(of: node) else { return }
        if record.cutNanoseconds != nil { cutCount -= 1 }
        record.cutNanoseconds = nil
        record.address = arrival.address
        record.peer = arrival.host
        record.heardNanoseconds = now
        replace(node, by: record)
    }
}
