import MasterCore
import Relay
import SlaveCore
import Wire

extension SimulatedCluster {
    // MARK: Connections

    func open(low: Int32, high: Int32, isControl: Bool) -> Int {
        connections.append(
            Connection(
                low: low, high: high, isControl: isControl, id: LinkID(UInt64(connections.count))))
        return connections.count - 1
    }

    func send(_ frame: [UInt8], from node: Int32, on link: LinkID) {
        deliver(on: link, from: node, extra: 0) { connection, toLow in
            .frame(connection: connection, toLow: toLow, frame)
        }
    }

    func deliver(
        on link: LinkID, from node: Int32, extra: UInt64, _ event: (Int, Bool) -> Event
    ) {
        let index = Int(link.rawValue)
        guard connections[index].isOpen else { return }
        let toLow = connections[index].high == node
        let arrival = now + latency() + extra
        if toLow {
            connections[index].arrivalAtLow = max(arrival, connections[index].arrivalAtLow + 1)
            queue.insert(event(index, true), at: connections[index].arrivalAtLow)
        } else {
            connections[index].arrivalAtHigh = max(arrival, connections[index].arrivalAtHigh + 1)
            queue.insert(event(index, false), at: connections[index].arrivalAtHigh)
        }
    }

    /// One side closes: the other hears of it after what was sent before.
    func close(_ link: LinkID, from node: Int32) {
        let index = Int(link.rawValue)
        guard connections[index].isOpen else { return }
        deliver(on: link, from: node, extra: 0) { .lost(connection: $0, toLow: $1) }
        connections[index].isOpen = false
    }

    // MARK: Events

    /// The daemon an event happens to, for holding it back while that daemon is stopped.
    private func node(of event: Event) -> Int32? {
        switch event {
        case .frame(let connection, let toLow, _), .chunk(let connection, let toLow, _, _),
            .lost(let connection, let toLow):
            toLow ? connections[connection].low : connections[connection].high
        case .connected(_, let from, _), .refused(_, let from, _): from
        case .restored(let node, _, _), .exited(let node, _, _, _), .tick(let node):
            node
        case .fault, .resume, .clientLeaves: nil
        }
    }

    func handle(_ event: Event) {
        if let node = node(of: event) {
            if dead.contains(node) { return }
            if stalledEvents[node] != nil {
                stalledEvents[node]!.append(event)
                return
            }
        }
        switch event {
        case .frame(let connection, let toLow, let bytes):
            receive(bytes, connection, at: receiver(connection, toLow))
        case .chunk(let connection, let toLow, let launch, let index):
            receiveChunk(connection, launch, index, at: receiver(connection, toLow))
        case .connected(let launch, let from, let to): connected(launch, from: from, to: to)
        case .refused(let launch, let from, let to):
            linkFailed(launch, at: from, to: to)
        case .lost(let connection, let toLow):
            lost(connections[connection].id, at: receiver(connection, toLow))
        case .restored(let node, let launch, let rank): restored(node, launch, rank)
        case .exited(let node, let launch, let rank, let status):
            guard processes.remove(Process(node: node, rank: rank)) != nil else { return }
            withSlave(node) {
                $0.rankExited(
                    ExitRecord(launch: launch, rank: rank, waitStatus: status), effects: &$1)
            }
        case .tick(let node):
            scheduledTick[node] = nil
            if node == -1 {
                withMaster { $0.tick(now: self.now, effects: &$1) }
            } else {
                withSlave(node) { $0.tick(now: self.now, effects: &$1) }
            }
        case .fault(let node, let fault): strike(node, fault)
        case .resume(let node):
            let held = stalledEvents.removeValue(forKey: node) ?? []
            for event in held { queue.insert(event, at: now) }
        case .clientLeaves:
            hasClient = false
            withMaster { $0.clientIsGone(Self.client, now: self.now, effects: &$1) }
        }
    }

    private func receiver(_ connection: Int, _ toLow: Bool) -> Int32 {
        toLow ? connections[connection].low : connections[connection].high
    }

    private func receive(_ bytes: [UInt8], _ connection: Int, at node: Int32) {
        let link = connections[connection].id
        let isControl = connections[connection].isControl
        do {
            let header = try FrameHeader(decoding: bytes.span.bytes)
            let body = Array(bytes[FrameHeader.byteCount...])
            if node == -1 {
                withMaster { master, effects in
                    if isControl {
                        do {
                            try master.receiveControl(
                                header, body: body, from: link, now: self.now, effects: &effects)
                        } catch { self.wrong("master: \(error)") }
                    } else {
                        master.receiveRelay(
                            header, body: body, from: link, now: self.now, effects: &effects)
                    }
                }
                return
            }
            if header.kind == .ping {
                send(FrameHeader.frame(FrameHeader(.pong)), from: node, on: link)
                return
            }
            if header.kind == .launch, header.flags.contains(.adoption) {
                adoptions[node, default: 0] += 1
            }
            let launch = header.kind == .launch ? try LaunchFrame(decoding: body) : nil
            withSlave(node) { slave, effects in
                if header.kind == .welcome { return }
                if isControl {
                    do {
                        try slave.receiveControl(
                            header, body: body, from: link, now: self.now, effects: &effects)
                    } catch { self.wrong("node \(node): \(error)") }
                } else if let launch {
                    slave.receiveLaunch(
                        header.launch, frame: launch,
                        isAdoption: header.flags.contains(.adoption), from: link, now: self.now,
                        effects: &effects)
                } else {
                    slave.receive(header, body: body, from: link, now: self.now, effects: &effects)
                }
            }
        } catch {
            wrong("undecodable frame at node \(node): \(error)")
        }
    }

    func wrong(_ sentence: String) { complaintList.append(sentence) }

    private func receiveChunk(_ connection: Int, _ launch: UInt64, _ index: UInt32, at node: Int32)
    {
        let link = connections[connection].id
        guard slaves[Int(node)].wants(chunk: index, launch: launch, from: link) else { return }
        slaves[Int(node)].chunkBegins(launch: launch)
        chunkBegins[node, default: 0] += 1
        stored(node, launch, index)
    }

    private func stored(_ node: Int32, _ launch: UInt64, _ chunk: UInt32) {
        withSlave(node) { slave, effects in
            if self.scenario.damagingNodes.contains(node), chunk == self.scenario.chunkCount / 2 {
                slave.chunkIsRejected(
                    launch: launch, errorNumber: 74, reason: "chunk \(chunk) is damaged",
                    now: self.now, effects: &effects)
                return
            }
            if chunk == 0, self.scenario.refusingNodes.contains(node) {
                slave.imageIsRefused(
                    launch: launch, stage: .header, errorNumber: 8,
                    reason: "the CPU lacks avx512f", now: self.now, effects: &effects)
            }
            slave.chunkIsStored(launch: launch, chunk: chunk, now: self.now, effects: &effects)
        }
    }

    func storage(_ node: Int32, _ launch: UInt64) {
        withSlave(node) { slave, effects in
            if self.scenario.fullNodes.contains(node) {
                slave.storageFailed(
                    launch: launch, stage: .header, errorNumber: 28, reason: "no space",
                    now: self.now, effects: &effects)
            } else {
                slave.storageIsReady(launch: launch, now: self.now, effects: &effects)
            }
        }
    }

    /// The image that the node's own program has brought: it is there unless the program is gone.
    func image(_ node: Int32, _ launch: UInt64) {
        if !hasClient {
            withSlave(node) {
                $0.storageFailed(
                    launch: launch, stage: .receive, errorNumber: 125,
                    reason: "the caller is gone", now: self.now, effects: &$1)
            }
            return
        }
        if scenario.refusingNodes.contains(node) {
            withSlave(node) {
                $0.imageIsRefused(
                    launch: launch, stage: .header, errorNumber: 8,
                    reason: "the CPU lacks avx512f", now: self.now, effects: &$1)
            }
        }
        storage(node, launch)
    }

    private func restored(_ node: Int32, _ launch: UInt64, _ rank: UInt32) {
        if scenario.unrestorableNodes.contains(node) {
            withSlave(node) {
                $0.rankFailed(
                    launch: launch, rank: rank, stage: .restore, errorNumber: 12,
                    reason: "no memory", now: self.now, effects: &$1)
            }
            return
        }
        let process = Process(node: node, rank: rank)
        processes.insert(process)
        if scenario.holds { waiting.insert(process) }
        withSlave(node) {
            $0.rankIsPlaced(
                launch: launch, rank: rank, undumpNanoseconds: 200_000, now: self.now,
                effects: &$1)
        }
        if !scenario.holds { run(process, launch) }
    }

    /// The process works for a while, and ends.
    private func run(_ process: Process, _ launch: UInt64) {
        queue.insert(
            .exited(node: process.node, launch: launch, rank: process.rank, status: 0),
            at: now + UInt64.random(in: 10_000...60_000_000_000, using: &generator))
    }

    func release(_ node: Int32, _ launch: UInt64) {
        for process in waiting.filter({ $0.node == node }).sorted(by: { $0.rank < $1.rank }) {
            waiting.remove(process)
            guard processes.contains(process) else { continue }
            if hasClient, reports.isEmpty {
                wrong("rank \(process.rank) on node \(node) runs before all have an answer")
            }
            run(process, launch)
        }
    }

    private func connected(_ launch: UInt64, from: Int32, to: Int32) {
        guard !dead.contains(to) else {
            linkFailed(launch, at: from, to: to)
            return
        }
        let key = UInt64(UInt32(bitPattern: from)) << 32 | UInt64(UInt32(bitPattern: to))
        var connection = relayConnection[key] ?? -1
        if connection < 0 || !connections[connection].isOpen {
            connection = open(low: from, high: to, isControl: false)
            relayConnection[key] = connection
        }
        let link = connections[connection].id
        if from == -1 {
            withMaster {
                $0.linkIsReady(launch: launch, node: to, link: link, now: self.now, effects: &$1)
            }
        } else {
            withSlave(from) {
                $0.linkIsReady(launch: launch, node: to, link: link, now: self.now, effects: &$1)
            }
        }
    }

    private func linkFailed(_ launch: UInt64, at node: Int32, to: Int32) {
        let reason = "connection refused"
        if node == -1 {
            withMaster {
                $0.linkFailed(
                    launch: launch, node: to, errorNumber: 111, reason: reason, now: self.now,
                    effects: &$1)
            }
        } else {
            withSlave(node) {
                $0.linkFailed(
                    launch: launch, node: to, errorNumber: 111, reason: reason, now: self.now,
                    effects: &$1)
            }
        }
    }

    private func lost(_ link: LinkID, at node: Int32) {
        let index = Int(link.rawValue)
        connections[index].isOpen = false
        let reason = "the peer closed the connection"
        if node == -1 {
            withMaster {
                if self.connections[index].isControl {
                    $0.controlIsLost(link, reason: reason, now: self.now, effects: &$1)
                } else {
                    $0.relayLinkIsLost(link, reason: reason, now: self.now, effects: &$1)
                }
            }
        } else {
            withSlave(node) {
                if self.connections[index].isControl {
                    $0.controlIsLost(effects: &$1)
                } else {
                    $0.linkIsLost(link, reason: reason, now: self.now, effects: &$1)
                }
            }
        }
    }

    // MARK: Faults

    private func strike(_ node: Int32, _ fault: Scenario.Fault) {
        guard !dead.contains(node) else { return }
        switch fault {
        case .kill, .vanish:
            if fault == .kill {
                for connection in connections
                where connection.isOpen && (connection.low == node || connection.high == node) {
                    close(connection.id, from: node)
                }
            } else {
                vanished.insert(node)
            }
            dead.insert(node)
            // A program dies with its machine.
            if scenario.clientNode == node { hasClient = false }
            processes = processes.filter { $0.node != node }
        case .stall(let nanoseconds):
            guard stalledEvents[node] == nil else { return }
            stalledEvents[node] = []
            queue.insert(.resume(node: node), at: now + nanoseconds)
        }
    }

    // MARK: Checks

    /// What must hold when nothing is left to happen.
    func complaints() -> [String] {
        var found = complaintList
        let rankCount = scenario.nodeCount * scenario.ranksPerNode
        if hasClient {
            if reports.count != 1 { found.append("\(reports.count) reports, expected 1") }
            if let report = reports.first {
                found += complaints(about: report, rankCount: rankCount)
            }
        }
        if master.launchCount != 0 { found.append("the master still keeps a launch") }
        for slave in slaves where !dead.contains(slave.node) && slave.launchCount != 0 {
            found.append("node \(slave.node) still keeps \(slave.launchCount) launches")
        }
        for process in processes {
            found.append("rank \(process.rank) still runs on node \(process.node)")
        }
        for (node, count) in chunkBegins {
            let allowed = Int(scenario.chunkCount) + adoptions[node, default: 0]
            if count > allowed {
                found.append("node \(node) received \(count) chunks, at most \(allowed) expected")
            }
        }
        return found
    }

    private func complaints(about report: LaunchReport, rankCount: Int) -> [String] {
        var found: [String] = []
        guard report.processes.count == rankCount else {
            return ["\(report.processes.count) results for \(rankCount) ranks"]
        }
        let healthy = scenario.healthyNodes
        for (rank, process) in report.processes.enumerated() {
            let node = Int32(rank % scenario.nodeCount)
            let failed = process < 0
            if failed, healthy.contains(node) {
                found.append("rank \(rank) on healthy node \(node) failed with \(process)")
            }
            if process == 0 { found.append("rank \(rank) has no result") }
            if failed != (failures[UInt32(rank)] == 1) {
                found.append("rank \(rank): failure told \(failures[UInt32(rank)] ?? 0) times")
            }
            if !failed, hasClient, exits[UInt32(rank)] != 1 {
                found.append("rank \(rank): exit told \(exits[UInt32(rank)] ?? 0) times")
            }
            if failed, let count = exits[UInt32(rank)] {
                found.append("failed rank \(rank): exit told \(count) times")
            }
        }
        return found
    }
}
