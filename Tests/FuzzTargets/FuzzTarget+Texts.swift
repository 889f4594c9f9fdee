import CBProc
import Master
import NodeSpec

extension FuzzTarget {
    static let textTargets: [FuzzTarget] = [
        FuzzTarget(
            "nodes",
            seeds: {
                [
                    "0-3,7", "n12-", "master,all,up", "notdown,allup,allnotdown", ".5,n0-n9,-1",
                    "2147483647,0-2147483647", "7-,7-,7-", "n[0-3,7],[9-:2]", "0-63:2,!7",
                    "@rack,!@odd", "!up,!master",
                ].map { Array($0.utf8) }
            },
            run: { bytes in nodeSpecification(String(decoding: bytes, as: UTF8.self)) }),
        FuzzTarget(
            "scrape",
            seeds: {
                [
                    "GET /metrics HTTP/1.1\r\nHost: master\r\nAccept: */*\r\n\r\n",
                    "GET /metrics?name=x HTTP/1.0\n\n", "POST / HTTP/1.1\r\n\r\n",
                ].map { Array($0.utf8) }
            },
            run: scrape),
    ]

    /// What has been refused or understood does not change by what follows.
    private static func scrape(_ bytes: [UInt8]) -> String? {
        let request = ScrapeRequest(bytes)
        guard request != .incomplete else {
            return bytes.count < ScrapeRequest.byteLimit ? nil : "it goes on for ever"
        }
        guard ScrapeRequest(bytes + Array("\r\n\r\n".utf8)) == request else {
            return "another request with more bytes"
        }
        return request.answer("text\n").starts(with: "HTTP/1.1 ".utf8) ? nil : "no answer"
    }

    private static let known = (0..<40).map {
        NodeInfo(number: NodeNumber($0 * 3), state: $0 % 2 == 0 ? "up" : "down")
    }

    private static let groupText = "odd=1,3,5,7\nrack=0-9,60-90\n"
    private static let groups = try! NodeGroups(parsing: groupText)

    private static func nodeSpecification(_ text: String) -> String? {
        do throws(NodeSpecificationError) {
            let specification = try NodeSpecification(parsing: text, groups: groups)
            let spelling = specification.description
            guard (try? NodeSpecification(parsing: spelling)) == specification else {
                return "\(spelling) is read as another specification"
            }
            let resolution = try specification.resolve(against: known)
            let numbers = Set(known.map(\.number)).union([.master])
            let strangers = resolution.nodes.filter { !numbers.contains($0) }
            guard strangers.isEmpty else { return "\(strangers) do not exist" }
            return difference(ofLibraryFrom: resolution.nodes.map(\.rawValue), for: text)
        } catch {
            guard !"\(error)".isEmpty else { return "an error without a sentence" }
            return difference(ofLibraryFrom: nil, for: text)
        }
    }

    /// libbproc has a reader of its own for the same grammar.
    /// - Parameter expected: nil: the text is no specification.
    private static func difference(
        ofLibraryFrom expected: [Int32]?, for text: String
    ) -> String? {
        // A C string ends where the text may still go on.
        guard !text.utf8.contains(0) else { return nil }
        var entries = known.map { node in
            var entry = bproc_node_info_t()
            entry.node = node.number.rawValue
            withUnsafeMutableBytes(of: &entry.status) { $0.copyBytes(from: node.state.utf8) }
            return entry
        }
        var chosen = bproc_node_set_t()
        let count = entries.withUnsafeMutableBufferPointer { entries in
            var set = bproc_node_set_t(
                size: Int32(entries.count), alloc: Int32(entries.count), node: entries.baseAddress)
            return bproc_groupfilter(&chosen, &set, text, groupText)
        }
        defer { bproc_nodeset_free(&chosen) }
        let numbers = count < 0 ? nil : (0..<Int(count)).map { chosen.node[$0].node }
        guard numbers == expected else {
            return "libbproc reads \(numbers.map { "\($0)" } ?? String(cString: bproc_reason()))"
        }
        return nil
    }
}
