import CSystem
import Host
package import Link
import DaemonLog
import Logging
import Relay
package import SlaveCore
import System
import Wire

// What comes over links, and what goes out over them.
extension SlaveDaemon {
    package mutating func handle(_ event: LinkEvent, now: UInt64) {
        switch event {
        case .accepted(let link, let hello, _): accepted(link, hello)
        case .ready, .acceptingPauses: break
        case .failed(let link, let errorNumber, let reason):
            if link == attempt?.link { attemptFailed(errorNumber, reason) }
        case .frame(let link, let header, let body):
            // It may say much before it has heard that it is left.
            guard link != former?.link else { break }
            if link == control || link == attempt?.link {
                receiveControl(header, body: body, from: link, now: now)
            } else {
                receiveRelay(header, body: body, from: link, now: now)
            }
        case .chunkBegins(let link, let header):
            host.store.state.chunkBegins(launch: header.launch)
            host.store.state.heard(from: link, launch: header.launch, now: now)
        case .chunk(_, let header): chunkArrived(header, now: now)
        case .lost(let link, let reason):
            if link == attempt?.link {
                attemptFailed(FailureCode.connectionReset, reason)
                return
            }
            if link == former?.link {
                forgetFormer()
                return
            }
            if link == control {
                masterIsCut(reason)
                return
            }
            host.forgetPeer(link)
            host.store.state.linkIsLost(link, reason: reason, now: now, effects: &host.effects)
        }
    }

    private mutating func accepted(_ link: LinkID, _ hello: Hello) {
        if let sentence = hello.refusalSentence(receiver: "node \(host.node)") {
            host.refuse(link, reason: sentence)
        } else if hello.role != .relay {
            host.refuse(link, reason: "this is a slave's relay port, not a master")
        }
    }

    private mutating func receiveControl(
        _ header: FrameHeader, body: [UInt8], from link: LinkID, now: UInt64
    ) {
        do throws(WireError) {
            guard link == control else {
                try receiveAnswer(header, body: body)
                return
            }
            masterHeardNanoseconds = now
            switch header.kind {
            case .ping: sendControl(FrameHeader.frame(FrameHeader(.pong)))
            case .acknowledge: break
            case .refusal:
                let refusal = try Refusal(decoding: body)
                guard departure == nil else {
                    loseMaster(refusal.sentence)
                    return
                }
                host.log.link.error("the master refuses this slave: \(refusal.sentence)")
                loseMaster(refusal.sentence)
            case .input: input(header, body: body)
            case .clientHears: hear(body, number: header.subject)
            case .nodes: receiveNodes(body)
            case .nodeControl:
                receiveOrder(try NodeControl(decoding: body), number: header.subject)
            case .nodesChanged: nodesHaveChanged()
            case .processesRequest: tellOfProcesses(number: header.subject)
            case .bookRequest: tellOfBook(number: header.subject)
            case .outputCredit: try outputCredit(header, body: body)
            case .outputClosed: outputClosed(header)
            default:
                try host.store.state.receiveControl(
                    header, body: body, from: link, now: now, effects: &host.effects)
            }
        } catch {
            host.log.link.error("the master sent what is not understood: \(error)")
            loseMaster("\(error)")
        }
    }

    private mutating func receiveRelay(
        _ header: FrameHeader, body: [UInt8], from link: LinkID, now: UInt64
    ) {
        switch header.kind {
        case .launch:
            do throws(WireError) {
                // Only the master may say that the image is here.
                guard !header.flags.contains(.rooted) else {
                    throw .invalidValue(field: "flags", value: UInt64(header.flags.rawValue))
                }
                let frame = try LaunchFrame(decoding: body)
                host.store.state.receiveLaunch(
                    header.launch, frame: frame, isAdoption: header.flags.contains(.adoption),
                    from: link, now: now, effects: &host.effects)
            } catch {
                host.effects.append(.refuse(link, reason: "launch frame: \(error)"))
            }
        case .refusal:
            let sentence = (try? Refusal(decoding: body))?.sentence ?? "no reason given"
            host.log.relay.warning("a peer refuses this node: \(sentence)")
        default:
            host.store.state.receive(
                header, body: body, from: link, now: now, effects: &host.effects)
        }
    }

    /// Says something to the master that this slave is with; nobody else would understand it.
    mutating func sendControl(_ frame: [UInt8]) {
        guard let control else { return }
        host.send(frame, on: control)
    }

    // MARK: Effects

    package mutating func carryOut(_ effect: SlaveEffect) {
        switch effect {
        case .relay(let launch, let effect): host.carryOut(effect, launch: launch)
        case .control(let frame): sendControl(frame)
        case .openStorage(let launch, let order): openStorage(launch, order: order)
        case .openImage(let launch, let order, let client):
            openImage(launch, order: order, client: ClientID(UInt64(client)))
        case .closeStorage(let launch, let childrenHaveAll):
            closeStorage(launch, childrenHaveAll: childrenHaveAll)
        case .release(let launch):
            release(launch: launch)
        case .spawn(let launch, let rank): spawn(launch: launch, rank: rank)
        case .signal(let launch, let rank, let signal):
            self.signal(launch: launch, rank: rank, signal)
        case .forget(let launch):
            host.log.launch.debug("launch \(launch) is over here")
            partFrom(launch)
        case .refuse(let link, let reason):
            host.log.link.warning("closing \(link): \(reason)")
            host.refuse(link, reason: reason)
            host.forgetPeer(link)
            host.store.state.linkIsLost(
                link, reason: reason, now: Clock.monotonicNanoseconds, effects: &host.effects)
        case .note(let text): host.log.launch.info("\(text)")
        }
    }

    // MARK: Image

    private mutating func openStorage(_ launch: UInt64, order: LaunchOrder) {
        let now = Clock.monotonicNanoseconds
        do throws(SystemCallError) {
            let slot = try arena.take(
                byteCount: order.slotByteCount, ownerUser: order.user)
            host.store.images[launch] = ReceivedImage(order: order, slot: slot)
            host.store.state.storageIsReady(launch: launch, now: now, effects: &host.effects)
        } catch {
            host.store.state.storageFailed(
                launch: launch, stage: .header, errorNumber: error.errorNumber,
                reason: error.description, now: now, effects: &host.effects)
        }
    }

    /// The image is what a program of this node has handed over.
    private mutating func openImage(_ launch: UInt64, order: LaunchOrder, client: ClientID) {
        let now = Clock.monotonicNanoseconds
        guard let image = host.programs[client]?.image.take(),
            image.byteCount == Int(order.imageByteCount)
        else {
            host.store.state.storageFailed(
                launch: launch, stage: .receive, errorNumber: FailureCode.canceled,
                reason: "the caller is gone", now: now, effects: &host.effects)
            return
        }
        host.store.ownImages[launch] = OwnImage(order: order, image: image, now: now)
        if !image.missingFeatures.isEmpty {
            host.store.state.imageIsRefused(
                launch: launch, stage: .header, errorNumber: 8,
                reason: "the CPU lacks \(image.missingFeatures.joined(separator: ", "))",
                now: now, effects: &host.effects)
        } else if host.store.state.expectsRanks(of: launch) {
            verify(image, launch: launch, now: now)
        }
        host.store.state.storageIsReady(launch: launch, now: now, effects: &host.effects)
    }

    /// Other nodes check what they receive; this one has not received it.
    private mutating func verify(_ image: LaunchImage, launch: UInt64, now: UInt64) {
        do throws(LaunchImageError) {
            try image.verify()
        } catch {
            host.store.state.imageIsRefused(
                launch: launch, stage: .receive, errorNumber: FailureCode.badMessage,
                reason: error.description, now: now, effects: &host.effects)
        }
    }

    private mutating func closeStorage(_ launch: UInt64, childrenHaveAll: Bool) {
        host.store.ownImages[launch] = nil
        guard let image = host.store.images.removeValue(forKey: launch) else { return }
        host.links.dropChunks(of: launch)
        // Sent by reference, its pages may still stand in a socket's queue unless every child has
        // said that it holds the whole image.
        arena.release(
            image.slot, isQuarantined: !childrenHaveAll,
            neededByteCount: image.order.wholeByteCount, now: Clock.monotonicNanoseconds)
    }

    private mutating func chunkArrived(_ header: FrameHeader, now: UInt64) {
        guard let image = host.store.images[header.launch] else { return }
        switch image.check(chunk: header.subject) {
        case .stored: break
        case .refused(let stage, let errorNumber, let reason):
            host.store.state.imageIsRefused(
                launch: header.launch, stage: stage, errorNumber: errorNumber, reason: reason,
                now: now, effects: &host.effects)
        case .damaged(let reason):
            host.log.launch.warning("launch \(header.launch): \(reason)")
            host.store.state.chunkIsRejected(
                launch: header.launch, errorNumber: FailureCode.badMessage, reason: reason,
                now: now, effects: &host.effects)
            return
        }
        host.store.state.chunkIsStored(
            launch: header.launch, chunk: header.subject, now: now, effects: &host.effects)
        if image.isPacked { unpack(image, header, now: now) }
        if let fault = configuration.fault { strike(fault, chunk: header.subject) }
    }

    /// Unpacks what a chunk has completed, after the chunk is on its way to the children. What the
    /// last one completes is left to the first rank that is started from it.
    private mutating func unpack(_ image: ReceivedImage, _ header: FrameHeader, now: UInt64) {
        carryOutEffects()
        guard header.subject + 1 < image.order.chunkCount,
            host.store.state.expectsRanks(of: header.launch),
            case .refused(let stage, let errorNumber, let reason) = image.unpack()
        else { return }
        host.store.state.imageIsRefused(
            launch: header.launch, stage: stage, errorNumber: errorNumber, reason: reason,
            now: now, effects: &host.effects)
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
