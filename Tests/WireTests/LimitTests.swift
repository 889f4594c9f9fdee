import Testing
import Wire
import WireSamples

/// Counts and lengths that lie: each is refused by its own sentence, before room is made for it.
@Suite struct LimitTests {
    private func word(_ value: UInt32) -> [UInt8] {
        (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }

    private func error(_ body: () throws -> Void) -> WireError? {
        do {
            try body()
            return nil
        } catch {
            return error as? WireError
        }
    }

    @Test func answersDoNotBelieveTheirCounts() {
        #expect(
            error { _ = try Answer(decoding: word(.max)) }
                == .countTooLarge(field: "placed count", count: UInt64(UInt32.max), limit: 1 << 20))
        #expect(
            error { _ = try Answer(decoding: word(2) + [UInt8](repeating: 0, count: 12)) }
                == .truncated(field: "placed count", needed: 56, available: 12))
        #expect(
            error { _ = try Answer(decoding: word(0) + word(1 << 20)) }
                == .truncated(field: "failure count", needed: 17 << 20, available: 0))
    }

    @Test func failuresNeedAStageAndAnError() {
        func failure(stage: UInt8, errorNumber: Int32) -> [UInt8] {
            word(0) + word(1) + word(7) + word(3) + [stage]
                + word(UInt32(bitPattern: errorNumber)) + word(0)
        }
        #expect(error { _ = try Answer(decoding: failure(stage: 1, errorNumber: 5)) } == nil)
        for stage: UInt8 in [0, 9, 255] {
            #expect(
                error { _ = try Answer(decoding: failure(stage: stage, errorNumber: 5)) }
                    == .invalidValue(field: "failure stage", value: UInt64(stage)))
        }
        for number: Int32 in [0, -1, .min] {
            let found = error { _ = try Answer(decoding: failure(stage: 1, errorNumber: number)) }
            #expect(
                found
                    == .invalidValue(
                        field: "failure error number", value: UInt64(UInt32(bitPattern: number))))
        }
    }

    @Test func launchFramesDoNotBelieveTheOrdersLength() {
        #expect(
            error { _ = try LaunchFrame(decoding: word(0) + word(1 << 20 + 1)) }
                == .countTooLarge(
                    field: "order byte count", count: 1 << 20 + 1, limit: 1 << 20))
        #expect(
            error { _ = try LaunchFrame(decoding: word(0) + word(5) + [1, 2, 3]) }
                == .truncated(field: "order byte count", needed: 5, available: 3))
        #expect(
            error { _ = try LaunchFrame(decoding: word(0) + word(0)) }
                == .truncated(field: "subtree", needed: 32, available: 0))
    }

    private func plainOrder() -> LaunchOrder {
        LaunchOrder(
            imageByteCount: 100_000, chunkByteCount: 65536, user: 0, group: 0,
            supplementaryGroups: [], umask: 0, nice: 0, limits: [],
            descriptors: .forwarded(standardInput: true), directory: "/", command: "a",
            stallMilliseconds: 1000)
    }

    private func error(ofOrder change: (inout LaunchOrder) -> Void) -> WireError? {
        var order = plainOrder()
        change(&order)
        let bytes = LaunchFrame.encode(order)
        return error { _ = try WireMessage.order(bytes) }
    }

    @Test func ordersHaveLimits() {
        #expect(error(ofOrder: { _ in }) == nil)
        for chunk: UInt32 in [0, 1, 16383, 16385, 24 << 10, 8 << 20 + 16384, .max] {
            #expect(
                error(ofOrder: { $0.chunkByteCount = chunk })
                    == .invalidValue(field: "chunk byte count", value: UInt64(chunk)))
        }
        for image: UInt64 in [0, 1 << 46, .max] {
            #expect(
                error(ofOrder: { $0.imageByteCount = image })
                    == .invalidValue(field: "image byte count", value: image))
        }
        for stall: UInt32 in [0, 99, 3_600_001, .max] {
            #expect(
                error(ofOrder: { $0.stallMilliseconds = stall })
                    == .invalidValue(field: "stall milliseconds", value: UInt64(stall)))
        }
        #expect(
            error(ofOrder: { $0.credential = [UInt8](repeating: 1, count: 4097) })
                == .countTooLarge(field: "credential byte count", count: 4097, limit: 4096))
        #expect(
            error(ofOrder: {
                $0.supplementaryGroups = [UInt32](repeating: 1, count: 65537)
            }) == .countTooLarge(field: "supplementary group count", count: 65537, limit: 65536))
        let limit = LaunchOrder.Limit(soft: 1, hard: 2)
        #expect(
            error(ofOrder: { $0.limits = Array(repeating: limit, count: 33) })
                == .countTooLarge(field: "resource limit count", count: 33, limit: 32))
    }

    @Test func descriptorsHaveLimits() {
        let address = NodeAddress(ipv4: 127, 0, 0, 1, port: 1)
        func listed(_ numbers: [Int32]) -> Descriptors {
            .listed(
                numbers.map {
                    Descriptors.Item(descriptor: $0, flags: 0, target: .socket(address))
                })
        }
        #expect(error(ofOrder: { $0.descriptors = listed(Array(0..<16)) }) == nil)
        #expect(
            error(ofOrder: { $0.descriptors = listed(Array(0..<17)) })
                == .countTooLarge(field: "descriptor count", count: 17, limit: 16))
        for number: Int32 in [-1, 1024, .min, .max] {
            #expect(
                error(ofOrder: { $0.descriptors = listed([number]) })
                    == .invalidValue(
                        field: "descriptor number", value: UInt64(UInt32(bitPattern: number))))
        }
    }

    @Test func chunksCoverTheImageExactly() {
        var samples = MessageSamples(seed: 77)
        for _ in 0..<500 {
            var order = plainOrder()
            order.chunkByteCount = ChunkSize.granularity * UInt32(samples.count(1...512))
            order.imageByteCount = UInt64(samples.count(1...(64 << 20)))
            var end = 0
            for index in 0..<order.chunkCount {
                let range = order.byteRange(ofChunk: index)
                #expect(range.lowerBound == end && !range.isEmpty)
                #expect(range.count <= Int(order.chunkByteCount))
                end = range.upperBound
            }
            #expect(end == Int(order.imageByteCount))
        }
    }

    @Test func textsMustBeText() {
        #expect(
            error { _ = try Refusal(decoding: word(2) + [0xc3, 0x28]) }
                == .invalidText(field: "refusal"))
        #expect(
            error { _ = try Refusal(decoding: word(2049) + [UInt8](repeating: 97, count: 2049)) }
                == .countTooLarge(field: "refusal", count: 2049, limit: 2048))
    }
}
