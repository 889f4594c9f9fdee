import CSystem
import Link
import Logging
import Relay
import SlaveCore
import System
import Wire

// What comes over links, and what goes out over them.
extension SlaveDaemon {
    mutating func handle(_ event: LinkEvent) {
        let now = Clock.monotonicNanoseconds
        switch event {
        case .accepted(let link, let hello, _): accepted(link, hello)
        case .ready(let link):
            for waiter in peers.takeWaiters(of: link) {
                store.state.linkIsReady(
                    launch: waiter.launch, node: waiter.node, link: link, now: now,
                    effects: &effects)
            }
        case .failed(let link, let errorNumber, let reason):
            if link == control {
                control = nil
                loseMaster(reason)
                return
            }
            let waiters = peers.takeWaiters(of: link)
            peers.forget(link)
            for waiter in waiters {
                store.state.linkFailed(
                    launch: waiter.launch, node: waiter.node, errorNumber: errorNumber,
                    reason: reason, now: now, effects: &effects)
            }
        case .frame(let link, let header, let body):
            if link == control {
                receiveControl(header, body: body, now: now)
            } else {
                receiveRelay(header, body: body, from: link, now: now)
            }
        case .chunkBegins(let link, let header):
            store.state.chunkBegins(launch: header.launch)
            store.state.heard(from: link, launch: header.launch, now: now)
        case .chunk(_, let header): chunkArrived(header, now: now)
        case .acceptingPauses(let errorNumber):
            logger.error("relays wait: \(SystemCallError("accept", errorNumber: errorNumber))")
        case .lost(let link, let reason):
            if link == control {
                control = nil
                loseMaster(reason)
                return
            }
            peers.forget(link)
            store.state.linkIsLost(link, reason: reason, now: now, effects: &effects)
        }
    }

    private mutating func accepted(_ link: LinkID, _ hello: Hello) {
        if let sentence = hello.refusalSentence(receiver: "node \(store.state.node)") {
            links.refuse(link, reason: sentence, store: store, ring: &ring)
        } else if hello.role != .relay {
            links.refuse(
                link, reason: "this is a slave's relay port, not a master", store: store,
                ring: &ring)
        }
    }

    private mutating func receiveControl(_ header: FrameHeader, body: [UInt8], now: UInt64) {
        masterHeardNanoseconds = now
        do throws(WireError) {
            switch header.kind {
            case .ping: sendControl(FrameHeader.frame(FrameHeader(.pong)))
            case .welcome: welcome(try Welcome(decoding: body))
            case .refusal:
                let refusal = try Refusal(decoding: body)
                logger.error("the master refuses this slave: \(refusal.sentence)")
                loseMaster(refusal.sentence)
            case .input: input(header, body: body)
            case .outputCredit: try outputCredit(header, body: body)
            default:
                try store.state.receiveControl(header, body: body, now: now, effects: &effects)
            }
        } catch {
            logger.error("the master sent what is not understood: \(error)")
            loseMaster("\(error)")
        }
    }

    private mutating func receiveRelay(
        _ header: FrameHeader, body: [UInt8], from link: LinkID, now: UInt64
    ) {
        switch header.kind {
        case .launch:
            do throws(WireError) {
                let frame = try LaunchFrame(decoding: body)
                store.state.receiveLaunch(
                    header.launch, frame: frame, isAdoption: header.flags.contains(.adoption),
                    from: link, now: now, effects: &effects)
            } catch {
                effects.append(.refuse(link, reason: "launch frame: \(error)"))
            }
        case .refusal:
            let sentence = (try? Refusal(decoding: body))?.sentence ?? "no reason given"
            logger.warning("a peer refuses this node: \(sentence)")
        default:
            store.state.receive(header, body: body, from: link, now: now, effects: &effects)
        }
    }

    mutating func sendControl(_ frame: [UInt8]) {
        guard let control else { return }
        links.send(frame, on: control, store: store, ring: &ring)
    }

    // MARK: Effects

    mutating func carryOutEffects() {
        // New effects join behind; the list is swapped out so that it is never walked while it
        // grows.
        var taken: [SlaveEffect] = []
        swap(&taken, &effects)
        for effect in taken { carryOut(effect) }
        if effects.isEmpty {
            taken.removeAll(keepingCapacity: true)
            swap(&taken, &effects)
        }
    }

    private mutating func carryOut(_ effect: SlaveEffect) {
        switch effect {
        case .relay(let launch, let effect): carryOut(effect, launch: launch)
        case .control(let frame): sendControl(frame)
        case .openStorage(let launch, let order): openStorage(launch, order: order)
        case .closeStorage(let launch, let childrenHaveAll):
            closeStorage(launch, childrenHaveAll: childrenHaveAll)
        case .release(let launch):
            for process in ranks.processes(ofLaunch: launch) { release(process) }
        case .spawn(let launch, let rank): spawn(launch: launch, rank: rank)
        case .signal(let launch, let rank, let number):
            signal(launch: launch, rank: rank, number: number)
        case .forget(let launch): logger.debug("launch \(launch) is over here")
        case .refuse(let link, let reason):
            logger.warning("closing \(link): \(reason)")
            links.refuse(link, reason: reason, store: store, ring: &ring)
            peers.forget(link)
            store.state.linkIsLost(
                link, reason: reason, now: Clock.monotonicNanoseconds, effects: &effects)
        case .note(let text): logger.info("\(text)")
        }
    }

    private mutating func carryOut(_ effect: RelayEffect, launch: UInt64) {
        switch effect {
        case .connect(let node, let address): connect(launch, node: node, address: address)
        case .send(let link, let frame): links.send(frame, on: link, store: store, ring: &ring)
        case .forward(let link, let chunk):
            links.forward(chunk: chunk, launch: launch, on: link, store: store, ring: &ring)
        case .close(let link):
            links.close(link, ring: &ring)
            peers.forget(link)
        case .note(let text): logger.info("\(text)")
        }
    }

    private mutating func connect(_ launch: UInt64, node: Int32, address: NodeAddress) {
        let waiter = RelayPeers.Waiter(launch, node)
        switch peers.want(waiter, at: address) {
        case .ready(let link):
            store.state.linkIsReady(
                launch: launch, node: node, link: link, now: Clock.monotonicNanoseconds,
                effects: &effects)
        case .opening: break
        case .absent:
            let hello = Hello(
                role: .relay, node: store.state.node, address: self.address,
                incarnation: incarnation)
            let link = links.connect(to: address, hello: hello, ring: &ring)
            peers.opening(link, to: address, for: waiter)
        }
    }

    // MARK: Image

    private mutating func openStorage(_ launch: UInt64, order: LaunchOrder) {
        let now = Clock.monotonicNanoseconds
        do throws(SystemCallError) {
            let slot = try arena.take(
                byteCount: Int(order.imageByteCount), ownerUser: order.user)
            store.images[launch] = ReceivedImage(order: order, slot: slot)
            store.state.storageIsReady(launch: launch, now: now, effects: &effects)
        } catch {
            store.state.storageFailed(
                launch: launch, stage: .header, errorNumber: error.errorNumber,
                reason: error.description, now: now, effects: &effects)
        }
    }

    private mutating func closeStorage(_ launch: UInt64, childrenHaveAll: Bool) {
        guard let image = store.images.removeValue(forKey: launch) else { return }
        links.dropChunks(of: launch)
        // Sent by reference, its pages may still stand in a socket's queue unless every child has
        // said that it holds the whole image.
        arena.release(image.slot, isQuarantined: !childrenHaveAll)
    }

    private mutating func chunkArrived(_ header: FrameHeader, now: UInt64) {
        guard let image = store.images[header.launch] else { return }
        switch image.check(chunk: header.subject) {
        case .stored: break
        case .refused(let errorNumber, let reason):
            store.state.headerIsRefused(
                launch: header.launch, errorNumber: errorNumber, reason: reason, now: now,
                effects: &effects)
        case .damaged(let reason):
            logger.warning("launch \(header.launch): \(reason)")
            store.state.chunkIsRejected(
                launch: header.launch, errorNumber: FailureCode.badMessage, reason: reason,
                now: now, effects: &effects)
            return
        }
        store.state.chunkIsStored(
            launch: header.launch, chunk: header.subject, now: now, effects: &effects)
        if let fault = configuration.fault { strike(fault, chunk: header.subject) }
    }

    /// Fails on purpose, once what the chunk brought about has been carried out.
    private mutating func strike(_ fault: FaultPoint, chunk: UInt32) {
        switch fault {
        case .dieAfterChunk(let wanted) where wanted == chunk:
            carryOutEffects()
            _ = bp_kill(bp_own_pid(), 9)
        case .stopAfterChunk(let wanted) where wanted == chunk:
            carryOutEffects()
            _ = bp_stop_self()
        default: break
        }
    }
}
