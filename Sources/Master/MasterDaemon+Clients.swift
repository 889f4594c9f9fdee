import CLocalProtocol
import CSystem
import Logging
import MasterCore
import Ring
import System
import Wire

// Local programs: requests, job channels.
extension MasterDaemon {
    mutating func acceptClient(_ completion: Completion) {
        let now = Clock.monotonicNanoseconds
        switch localListener.take(completion, now: now, ring: &ring) {
        case .connection(let number):
            let id = ClientID(nextClient)
            nextClient += 1
            do throws(SystemCallError) {
                let client = try LocalClient(
                    id: id, descriptor: OwnedDescriptor(adopting: number))
                clients[id.rawValue] = client
                pollReadable(client)
            } catch {
                logger.warning("a local connection is refused: \(error)")
            }
        case .paused(let errorNumber):
            logger.error(
                "local programs wait: \(SystemCallError("accept", errorNumber: errorNumber))")
        case .nothing: break
        }
    }

    private func tag(_ kind: UInt8, _ client: LocalClient) -> OperationTag {
        OperationTag(
            kind: kind, slot: UInt32(truncatingIfNeeded: client.id.rawValue),
            generation: UInt32(client.id.rawValue >> 32) & 0xff_ffff)
    }

    func client(_ tag: OperationTag) -> LocalClient? {
        clients[UInt64(tag.generation) << 32 | UInt64(tag.slot)]
    }

    private mutating func pollReadable(_ client: LocalClient) {
        ring.poll(
            client.descriptor.number, for: .readable,
            tag: tag(OperationKind.clientReadable, client))
    }

    mutating func receive(from client: LocalClient) {
        var space = [UInt8](repeating: 0, count: 64 << 10)
        while !client.isClosed {
            var descriptor: Int32 = -1
            let count = unsafe space.withUnsafeMutableBytes {
                unsafe bp_receive_descriptor(
                    client.descriptor.number, $0.baseAddress!, $0.count, &descriptor)
            }
            if descriptor >= 0 { client.attached = OwnedDescriptor(adopting: descriptor) }
            if count == -11 || count == -4 { break }
            guard count > 0 else {
                close(client)
                return
            }
            client.received.append(contentsOf: space[..<count])
            do throws(LocalProtocolError) {
                while !client.isClosed, let (header, body) = try client.takeMessage() {
                    try act(on: header, body: body, from: client)
                    settleEffects()
                }
            } catch {
                refuse(client, request: 0, errorNumber: 71, reason: error.description)
                close(client)
                return
            }
        }
        if !client.isClosed { pollReadable(client) }
    }

    private mutating func settleEffects() {
        if !effects.isEmpty { settle() }
    }

    mutating func close(_ client: LocalClient) {
        guard !client.isClosed else { return }
        client.isClosed = true
        ring.cancel(tag(OperationKind.clientReadable, client))
        if client.isPollingWritable { ring.cancel(tag(OperationKind.clientWritable, client)) }
        clients[client.id.rawValue] = nil
        store.state.clientIsGone(
            client.id, now: Clock.monotonicNanoseconds, effects: &effects)
    }

    // MARK: Requests

    private mutating func act(
        on header: bproc_local_header, body: [UInt8], from client: LocalClient
    ) throws(LocalProtocolError) {
        let kind = bproc_local_kind(rawValue: UInt32(header.kind))
        guard client.hasSaidHello || kind == BPROC_LOCAL_HELLO else {
            throw .invalid("the first message of a connection is hello")
        }
        switch kind {
        case BPROC_LOCAL_HELLO: try hello(body, request: header.request, from: client)
        case BPROC_LOCAL_HELPER_REQUEST:
            client.outgoingDescriptor = (client.outgoing.count, helper.number)
            send(LocalMessage.bytes(BPROC_LOCAL_HELPER, request: header.request), to: client)
        case BPROC_LOCAL_NODES_REQUEST: sendNodes(request: header.request, to: client)
        case BPROC_LOCAL_LAUNCH: launch(body, request: header.request, from: client)
        case BPROC_LOCAL_INPUT: try input(body, from: client)
        case BPROC_LOCAL_SIGNAL:
            guard let raw = LocalMessage.load(bproc_local_signal.self, from: body) else {
                throw .tooSmall("signal message")
            }
            guard let launch = client.launch, (1...64).contains(raw.signal) else { return }
            store.state.signal(launch, rank: raw.rank, number: raw.signal, effects: &effects)
        case BPROC_LOCAL_OUTPUT_CREDIT: try outputCredit(body, from: client)
        default: throw .invalid("unknown message kind \(header.kind)")
        }
    }

    private mutating func hello(
        _ body: [UInt8], request: UInt32, from client: LocalClient
    ) throws(LocalProtocolError) {
        guard let raw = LocalMessage.load(bproc_local_hello.self, from: body) else {
            throw .tooSmall("hello message")
        }
        guard raw.protocol_version == UInt32(BPROC_LOCAL_VERSION) else {
            throw .versionMismatch(theirs: UInt16(truncatingIfNeeded: raw.protocol_version))
        }
        guard raw.architecture == Hello.architectureX8664 else {
            throw .invalid(
                "the library is for \(Hello.architectureName(raw.architecture)), the daemon for "
                    + "x86-64")
        }
        client.hasSaidHello = true
        var answer = bproc_local_welcome()
        answer.protocol_version = UInt32(BPROC_LOCAL_VERSION)
        answer.architecture = Hello.architectureX8664
        answer.node = -1
        answer.node_count = UInt32(store.state.nodes.count)
        var bytes = LocalMessage.bytes(of: answer)
        LocalMessage.put(
            ProductVersion.text, into: &bytes,
            at: MemoryLayout<bproc_local_welcome>.offset(of: \.version)!, capacity: 32)
        send(LocalMessage.bytes(BPROC_LOCAL_WELCOME, request: request, body: bytes), to: client)
    }

    private mutating func sendNodes(request: UInt32, to client: LocalClient) {
        var body: [UInt8] = []
        body.reserveCapacity(store.state.nodes.count * MemoryLayout<bproc_local_node>.stride)
        let statePlace = MemoryLayout<bproc_local_node>.offset(of: \.state)!
        let addressPlace = MemoryLayout<bproc_local_node>.offset(of: \.address)!
        for record in store.state.nodes.records {
            var raw = bproc_local_node()
            raw.node = record.node
            raw.mode = record.mode
            raw.user = record.user
            raw.group = record.group
            raw.port = record.address.port
            raw.address_family =
                switch record.address.family {
                case .none: 0
                case .ipv4: 2
                case .ipv6: 10
                }
            var bytes = LocalMessage.bytes(of: raw)
            LocalMessage.put(record.state, into: &bytes, at: statePlace, capacity: 16)
            for index in 0..<16 { bytes[addressPlace + index] = record.address.octets[index] }
            body += bytes
        }
        send(LocalMessage.bytes(BPROC_LOCAL_NODES, request: request, body: body), to: client)
    }

    private mutating func launch(_ body: [UInt8], request: UInt32, from client: LocalClient) {
        let now = Clock.monotonicNanoseconds
        guard client.launch == nil else {
            refuse(
                client, request: request, errorNumber: 16,
                reason: "this connection is the channel of a job already")
            return
        }
        guard let file = client.attached.take() else {
            refuse(
                client, request: request, errorNumber: 9, reason: "no image came with the launch")
            return
        }
        let image: LaunchImage
        do throws(LaunchImageError) {
            image = try LaunchImage(file: file)
        } catch {
            // ENOEXEC
            refuse(client, request: request, errorNumber: 8, reason: error.description)
            return
        }
        do throws(LocalProtocolError) {
            var parser = LaunchParser(body)
            let launchRequest = try parser.request(
                client: client.id, caller: client.caller,
                imageByteCount: UInt64(image.byteCount),
                stallMilliseconds: configuration.stallMilliseconds)
            client.launchRequest = request
            let rankCount = launchRequest.nodes.count
            let launch = store.state.launch(launchRequest, now: now, effects: &effects)
            client.launch = launch
            streams[launch] = JobStreams(rankCount: rankCount)
            if let order = store.state.order(of: launch) {
                store.entries[launch] = LaunchStore.Entry(image: image, order: order)
            }
        } catch {
            refuse(client, request: request, errorNumber: 22, reason: error.description)
        }
    }

    private mutating func refuse(
        _ client: LocalClient, request: UInt32, errorNumber: Int32, reason: String
    ) {
        logger.warning("user \(client.caller.user): \(reason)")
        var raw = bproc_local_refused()
        raw.error = errorNumber
        var bytes = LocalMessage.bytes(of: raw)
        LocalMessage.put(
            reason, into: &bytes, at: MemoryLayout<bproc_local_refused>.offset(of: \.reason)!,
            capacity: Int(BPROC_LOCAL_REASON_LEN))
        send(LocalMessage.bytes(BPROC_LOCAL_REFUSED, request: request, body: bytes), to: client)
    }

    // MARK: Answers

    mutating func tellFailure(_ failure: Answer.Failure, to id: ClientID) {
        logger.info(
            "node \(failure.node), rank \(failure.rank): \(failure.stage): \(failure.reason)")
        guard let client = clients[id.rawValue] else { return }
        var raw = bproc_local_failure()
        raw.rank = failure.rank
        raw.node = failure.node
        raw.stage = UInt32(failure.stage.rawValue)
        raw.error = failure.errorNumber
        var bytes = LocalMessage.bytes(of: raw)
        LocalMessage.put(
            failure.reason, into: &bytes,
            at: MemoryLayout<bproc_local_failure>.offset(of: \.reason)!,
            capacity: Int(BPROC_LOCAL_REASON_LEN))
        endInput(of: client, rank: failure.rank)
        send(
            LocalMessage.bytes(
                BPROC_LOCAL_FAILURE, request: client.launchRequest, body: bytes), to: client)
    }

    mutating func tellLaunched(_ report: LaunchReport, to id: ClientID) {
        logger.info(
            """
            launch \(report.launch): placed \(report.placedCount)/\(report.processes.count) in \
            \(report.elapsedNanoseconds / 1000) µs, fan-out \(report.fanOut), chunk \
            \(report.chunkByteCount), undump median \(report.undumpMedianNanoseconds / 1000) µs, \
            99th \(report.undump99thNanoseconds / 1000) µs, at most \
            \(report.receivedChunkCountMaximum) of \(report.chunkCount) chunks received by one node
            """)
        guard let client = clients[id.rawValue] else { return }
        var raw = bproc_local_launched()
        raw.job = report.launch
        raw.rank_count = UInt32(report.processes.count)
        raw.placed_count = UInt32(report.placedCount)
        raw.placed_nanoseconds = report.elapsedNanoseconds
        raw.fan_out = UInt32(report.fanOut)
        raw.chunk_byte_count = report.chunkByteCount
        raw.undump_median_nanoseconds = report.undumpMedianNanoseconds
        raw.undump_99th_nanoseconds = report.undump99thNanoseconds
        raw.chunk_count = report.chunkCount
        raw.received_chunk_count_max = report.receivedChunkCountMaximum
        var body = LocalMessage.bytes(of: raw)
        body.reserveCapacity(body.count + report.processes.count * 4)
        for process in report.processes { body += LocalMessage.bytes(of: process) }
        send(
            LocalMessage.bytes(
                BPROC_LOCAL_LAUNCHED, request: client.launchRequest, body: body), to: client)
    }

    mutating func tellProgress(_ progress: LaunchProgress, to id: ClientID) {
        guard let client = clients[id.rawValue] else { return }
        var raw = bproc_local_progress()
        raw.job = progress.launch
        raw.rank_count = UInt32(progress.rankCount)
        raw.placed_count = UInt32(progress.placedCount)
        raw.failed_count = UInt32(progress.failedCount)
        raw.done_count = UInt32(progress.doneCount)
        raw.image_bytes = progress.imageByteCount
        send(
            LocalMessage.bytes(
                BPROC_LOCAL_PROGRESS, request: client.launchRequest,
                body: LocalMessage.bytes(of: raw)), to: client)
    }

    mutating func noteExit(_ exit: RankExit, of id: ClientID) {
        var raw = bproc_local_exit()
        raw.rank = exit.rank
        raw.process = exit.process
        raw.status = exit.waitStatus
        raw.cause = exit.isNodeDeath ? 1 : 0
        exits[id, default: []] += LocalMessage.bytes(of: raw)
        if let client = clients[id.rawValue] { endInput(of: client, rank: exit.rank) }
    }

    /// Sends the exits of this round, one message for each client.
    mutating func sendExits() {
        guard !exits.isEmpty else { return }
        for (id, body) in exits {
            guard let client = clients[id.rawValue] else { continue }
            send(
                LocalMessage.bytes(
                    BPROC_LOCAL_EXIT, request: client.launchRequest, body: body), to: client)
        }
        exits.removeAll(keepingCapacity: true)
    }

    // MARK: Sending

    mutating func send(_ bytes: [UInt8], to client: LocalClient) {
        guard !client.isClosed else { return }
        client.outgoing += bytes
        guard client.outgoing.count <= LocalClient.backlogByteLimit else {
            logger.warning("a local client does not read what is sent to it")
            close(client)
            return
        }
        if !client.isPollingWritable { flush(client) }
    }

    mutating func flush(_ client: LocalClient) {
        var sent = 0
        while sent < client.outgoing.count {
            var end = client.outgoing.count
            var descriptor: Int32 = -1
            if let attached = client.outgoingDescriptor {
                if attached.place <= sent {
                    descriptor = attached.number
                } else {
                    end = min(end, attached.place)
                }
            }
            let result = unsafe client.outgoing.withUnsafeBytes {
                unsafe bp_send_descriptor(
                    client.descriptor.number, $0.baseAddress! + sent, end - sent, descriptor)
            }
            if result == -11 || result == -4 {
                client.isPollingWritable = true
                ring.poll(
                    client.descriptor.number, for: .writable,
                    tag: tag(OperationKind.clientWritable, client))
                break
            }
            guard result > 0 else {
                client.outgoing.removeAll()
                close(client)
                return
            }
            if descriptor >= 0 { client.outgoingDescriptor = nil }
            sent += result
        }
        if sent == client.outgoing.count {
            client.outgoing.removeAll(keepingCapacity: client.outgoing.count < 1 << 20)
        } else {
            client.outgoing.removeFirst(sent)
        }
        if let attached = client.outgoingDescriptor {
            client.outgoingDescriptor = (attached.place - sent, attached.number)
        }
    }
}
