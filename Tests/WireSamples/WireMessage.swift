import Wire

/// One kind of message body: how a valid one comes about, and what reading one means. Reading
/// answers with the bytes of what was understood, so that whoever reads can also compare.
public struct WireMessage: Sendable {
    public let name: String
    /// The body of a random valid message.
    public let sample: @Sendable (inout MessageSamples) -> [UInt8]
    /// Decodes and encodes again.
    public let recode: @Sendable ([UInt8]) throws -> [UInt8]

    static func body(_ frame: [UInt8]) -> [UInt8] { Array(frame[FrameHeader.byteCount...]) }

    public static let all: [WireMessage] = [
        WireMessage(
            name: "header", sample: { headerBytes($0.header()) },
            recode: { bytes in headerBytes(try FrameHeader(decoding: bytes.span.bytes)) }),
        WireMessage(
            name: "hello", sample: { body($0.hello().frame) },
            recode: { body(try Hello(decoding: $0).frame) }),
        WireMessage(
            name: "welcome", sample: { body($0.welcome().frame) },
            recode: { body(try Welcome(decoding: $0).frame) }),
        WireMessage(
            name: "client-launch", sample: { body($0.clientLaunch().frame(client: 3)) },
            recode: { body(try ClientLaunch(decoding: $0).frame(client: 3)) }),
        WireMessage(
            name: "client-request", sample: { body($0.clientRequest().frame(client: 3)) },
            recode: { body(try ClientRequest(decoding: $0).frame(client: 3)) }),
        WireMessage(
            name: "node-control", sample: { body($0.nodeControl().frame(number: 3)) },
            recode: { body(try NodeControl(decoding: $0).frame(number: 3)) }),
        WireMessage(
            name: "node-controlled", sample: { body($0.nodeControlAnswer().frame(number: 3)) },
            recode: { body(try NodeControlAnswer(decoding: $0).frame(number: 3)) }),
        WireMessage(
            name: "processes",
            sample: { body($0.processReport().frame(number: 3, isLast: true)) },
            recode: { body(try ProcessReport(decoding: $0).frame(number: 3, isLast: true)) }),
        WireMessage(
            name: "refusal", sample: { body($0.refusal().frame) },
            recode: { body(try Refusal(decoding: $0).frame) }),
        WireMessage(
            name: "launch", sample: { body($0.launchFrame().frame(launch: 1, isAdoption: false)) },
            recode: { bytes in
                let frame = try LaunchFrame(decoding: bytes)
                return body(
                    LaunchFrame(order: try frame.decodeOrder(), subtree: rebuilt(frame.subtree))
                        .frame(launch: 1, isAdoption: false))
            }),
        WireMessage(
            name: "order", sample: { LaunchFrame.encode($0.order()) },
            recode: { LaunchFrame.encode(try order($0)) }),
        WireMessage(
            name: "subtree", sample: { $0.subtree().bytes },
            recode: { rebuilt(try RelaySubtree(validating: $0)).bytes }),
        WireMessage(
            name: "answer", sample: { body($0.answer().frame(launch: 1, flags: [])) },
            recode: { body(try Answer(decoding: $0).frame(launch: 1, flags: [])) }),
        WireMessage(
            name: "exit", sample: { body(ExitRecord.frame($0.exitRecords())) },
            recode: { body(ExitRecord.frame(try ExitRecord.records(decoding: $0))) }),
        WireMessage(
            name: "stop", sample: { body(StopRecord.frame($0.stopRecords())) },
            recode: { body(StopRecord.frame(try StopRecord.records(decoding: $0))) }),
        WireMessage(
            name: "kept", sample: { body($0.keptLaunch().frame(isLast: true)) },
            recode: { bytes in
                body(try KeptLaunch(FrameHeader(.kept), decoding: bytes).frame(isLast: true))
            }),
        WireMessage(
            name: "adoption", sample: { body($0.adoption().frame) },
            recode: { body(try Adoption(decoding: $0).frame) }),
        WireMessage(
            name: "signal", sample: { body($0.rankSignal().frame(launch: 1, rank: 2)) },
            recode: { bytes in
                let header = FrameHeader(.signal)
                let signal = try RankSignal(header, decoding: bytes)
                return body(signal.frame(launch: 1, rank: 2))
            }),
    ]

    public static func order(_ bytes: [UInt8]) throws -> LaunchOrder {
        var reader = WireReader(bytes)
        let order = try LaunchOrder(from: &reader)
        try reader.finish()
        return order
    }

    public static func headerBytes(_ header: FrameHeader) -> [UInt8] {
        var bytes = [UInt8](repeating: 0xaa, count: FrameHeader.byteCount)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        header.encode(into: &raw)
        return bytes
    }

    /// The tree taken apart through `root` and `children` and put together again.
    static func rebuilt(_ subtree: RelaySubtree) -> RelaySubtree {
        let model = TreeModel(subtree)
        return RelaySubtree(preorder: model.preorder, subtreeEnds: model.subtreeEnds)
    }
}
