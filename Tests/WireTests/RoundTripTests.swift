import Testing
import Wire
import WireSamples

@Suite struct RoundTripTests {
    @Test(arguments: WireMessage.all.indices) func everyMessageComesBack(_ index: Int) throws {
        let message = WireMessage.all[index]
        var samples = MessageSamples(seed: 1000 + UInt64(index))
        for round in 0..<300 {
            let bytes = message.sample(&samples)
            let again = try message.recode(bytes)
            try #require(again == bytes, "\(message.name), round \(round)")
        }
    }

    @Test(arguments: WireMessage.all.indices) func everyTruncationIsAnError(_ index: Int) {
        let message = WireMessage.all[index]
        var samples = MessageSamples(seed: 2000 + UInt64(index))
        for _ in 0..<30 {
            let bytes = message.sample(&samples)
            for length in 0..<bytes.count {
                // Records lie one behind the other: any whole number of them is a message.
                if message.name == "exit" && length % ExitRecord.byteCount == 0 { continue }
                if message.name == "stop" && length % StopRecord.byteCount == 0 { continue }
                let cut = Array(bytes[..<length])
                #expect(throws: WireError.self, "\(message.name) of \(length) bytes") {
                    _ = try message.recode(cut)
                }
            }
        }
    }

    @Test(arguments: WireMessage.all.indices) func bytesBehindTheEndAreAnError(_ index: Int) {
        let message = WireMessage.all[index]
        // What follows a header is its body.
        guard message.name != "header" else { return }
        var samples = MessageSamples(seed: 3000 + UInt64(index))
        for _ in 0..<50 {
            let longer = message.sample(&samples) + [0]
            #expect(throws: WireError.self, "\(message.name)") { _ = try message.recode(longer) }
        }
    }

    /// The values themselves, field by field: encoding and decoding could agree on the same mistake
    /// only if they lost what the values hold.
    @Test func valuesComeBackEqual() throws {
        var samples = MessageSamples(seed: 4)
        func body(_ frame: [UInt8]) -> [UInt8] { Array(frame[FrameHeader.byteCount...]) }
        for _ in 0..<300 {
            let hello = samples.hello()
            #expect(try Hello(decoding: body(hello.frame)) == hello)
            let welcome = samples.welcome()
            #expect(try Welcome(decoding: body(welcome.frame)) == welcome)
            let refusal = samples.refusal()
            #expect(try Refusal(decoding: body(refusal.frame)) == refusal)
            let answer = samples.answer()
            #expect(try Answer(decoding: body(answer.frame(launch: 3, flags: .final))) == answer)
            let records = samples.exitRecords()
            #expect(try ExitRecord.records(decoding: body(ExitRecord.frame(records))) == records)
            let stops = samples.stopRecords()
            #expect(try StopRecord.records(decoding: body(StopRecord.frame(stops))) == stops)
            let signal = samples.rankSignal()
            let frame = signal.frame(launch: 4, rank: 5)
            let header = try FrameHeader(decoding: frame.span.bytes)
            #expect(try RankSignal(header, decoding: body(frame)) == signal)
            let order = samples.order()
            #expect(try WireMessage.order(LaunchFrame.encode(order)) == order)
            let launch = LaunchFrame(order: order, subtree: samples.subtree())
            let decoded = try LaunchFrame(
                decoding: body(launch.frame(launch: 9, isAdoption: true)))
            #expect(decoded == launch)
            #expect(try decoded.decodeOrder() == order)
        }
    }

    @Test func longTextsAreCutBetweenCharacters() throws {
        let refusal = Refusal(String(repeating: "€", count: 1000))
        let body = Array(refusal.frame[FrameHeader.byteCount...])
        let kept = try Refusal(decoding: body).sentence
        #expect(kept.utf8.count == 2046)
        #expect(refusal.sentence.hasPrefix(kept))
    }
}
