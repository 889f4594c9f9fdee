import CBProc
import Foundation
import NodeSpec
import Testing

/// The C library reads node specifications as the Swift module does: the same nodes, the same
/// complaints.
@Suite struct SpecificationTests {
    static let known: [NodeInfo] = [
        NodeInfo(number: 7, state: "up"), NodeInfo(number: 0, state: "up"),
        NodeInfo(number: 1, state: "down"), NodeInfo(number: 2, state: "boot"),
        NodeInfo(number: 100, state: "a2345678901234_"), NodeInfo(number: 3, state: "error"),
        NodeInfo(number: -1, state: "up"), NodeInfo(number: 2_147_483_647, state: "notup"),
        NodeInfo(number: 64, state: "UP"),
    ]

    static let groupText = "one=7\nrack-1.a_b=0-3,64,100\n"
    static let groups = try! NodeGroups(parsing: groupText)

    /// What a reader makes of a text: the nodes, or the complaint.
    enum Reading: Equatable {
        case nodes([Int32])
        case complaint(String)
    }

    static func swiftReading(_ text: String, known: [NodeInfo] = known) -> Reading {
        do throws(NodeSpecificationError) {
            let resolution = try NodeSpecification(parsing: text, groups: groups)
                .resolve(against: known)
            return .nodes(resolution.nodes.map(\.rawValue))
        } catch {
            return .complaint(error.description)
        }
    }

    static func set(of nodes: [NodeInfo]) -> bproc_node_set_t {
        var set = bproc_node_set_t()
        for node in nodes {
            var entry = bproc_node_info_t()
            entry.node = node.number.rawValue
            fill(&entry.status, node.state)
            entry.user = 12
            #expect(bproc_nodeset_add(&set, &entry) == 0)
        }
        return set
    }

    static func cReading(_ text: String, known: [NodeInfo] = known) -> Reading {
        var known = set(of: known)
        defer { bproc_nodeset_free(&known) }
        var chosen = bproc_node_set_t()
        let count = bproc_groupfilter(&chosen, &known, text, groupText)
        guard count >= 0 else {
            #expect(errno == EINVAL)
            #expect(chosen.node == nil && chosen.size == 0)
            return .complaint(String(cString: bproc_reason()))
        }
        defer { bproc_nodeset_free(&chosen) }
        #expect(chosen.size == count)
        return .nodes((0..<Int(count)).map { chosen.node[$0].node })
    }

    static let written: [String] = [
        "0", "0-3", "3-", "n7,.1", "n0-n2", "0-.2", "master", "master,master,0", "all", "up",
        "allup", "notdown", "allnotdown", "down,up", "7,7,0,7", "5", "200-", "010", "0x10",
        "a2345678901234_", "notnotup", "allnotup", "allall", "north", "n", ".", ".x", "n-1", "-1",
        "", ",", "1,", ",1", "1,,2", "1-2-3", "3-1", "0-2147483647", "2147483647", "2147483648",
        "99999999999999999999", "not", "allnot", "a23456789012345", "a234567890123456",
        "alla2345678901234_", "up down", "up;", "up\t", "ünder", "0-x", "0-,1", "0--1", "0- 1",
        "All", "UP", "_up", "allmaster", "masters", "notmaster", "n1n", "1.2", "1e3", "!up", "0x",
        "n[0-3,7]", "[0]", ".[7-,1]", "n[0-100:2]", "n[", "n[]", "n[0", "n[0,", "n[0,]", "n[n0]",
        "n[0-3", "n[0-3x]", "n[0]]", "n[0-]", "n[0-:3],1", "[0-[", "north[0]", "]", "n[0-3]:2",
        "0-100:2", "0-:3", "1-3:1", "0-3:4", "0-3:0", "0-3:", "0-3:x", "3:2", "0-:",
        "0-3:2147483648",
        "0-2147483647:2", "0-2147483647:2048", "0-2097151:2,0-1:2", "0-2147483647:2147483647",
        "!7", "!", "!!7", "all,!0-2", "!up,!7", "0-3,!master", "master,!master", "all,!n[0,2]",
        "!,1",
        "up,!@one", "@one", "@rack-1.a_b", "@none", "@", "@,1", "!@rack-1.a_b", "@one:2", "@rack",
        "@" + String(repeating: "g", count: 63), "@" + String(repeating: "g", count: 64), "a@one",
    ]

    @Test(arguments: written) func readsWhatIsWritten(text: String) {
        #expect(Self.cReading(text) == Self.swiftReading(text))
    }

    /// Texts put together from pieces of the grammar and its neighbourhood.
    @Test(arguments: 0..<8) func readsRandomTexts(part: UInt64) {
        var generator = Generator(state: part &* 0x9e37_79b9_7f4a_7c15 | 1)
        let pieces = [
            "0", "1", "7", "64", "99", "n", ".", "-", ",", ",", ",", "all", "not", "up", "down",
            "master", "_", " ", "!", "[", "]", ":", "@one", "@", "n[", "-", "2147483647", "9", "é",
            "A", "boot", "error", "\u{1}",
        ]
        for _ in 0..<4000 {
            let count = Int.random(in: 0...12, using: &generator)
            let text = (0..<count).map { _ in pieces.randomElement(using: &generator)! }.joined()
            let expected = Self.swiftReading(text)
            guard Self.cReading(text) == expected else {
                Issue.record("\"\(text)\": \(Self.cReading(text)), not \(expected)")
                return
            }
        }
    }

    @Test func resolvesAgainstRandomTables() {
        var generator = Generator(state: 0x1234_5678_9abc_def1)
        for _ in 0..<200 {
            let nodes = (0..<Int.random(in: 0...40, using: &generator)).map { _ in
                NodeInfo(
                    number: NodeNumber(Int32.random(in: -1...30, using: &generator)),
                    state: ["up", "down", "boot"].randomElement(using: &generator)!)
            }
            // Numbers of a table are unique; so that the order of equal ones does not matter.
            let unique = Dictionary(nodes.map { ($0.number, $0) }) { first, _ in first }
            let table = unique.values.shuffled(using: &generator)
            for text in [
                "all", "up", "notup,3-9", "5-,0-4", "2,1,2,master", "allnotdown", "0-30:3,!6",
                "!up", "n[2-,9]",
            ] {
                #expect(Self.cReading(text, known: table) == Self.swiftReading(text, known: table))
            }
        }
    }

    @Test func limitsAreTheSame() {
        let long = String(repeating: "1,", count: 131_071) + "1"
        let tooLong = long + ",1"
        #expect(Self.cReading(tooLong) == Self.swiftReading(tooLong))
        #expect(Self.cReading(long) == Self.swiftReading(long))
        let steps = "0-2097151:2,0-1:2"
        #expect(Self.cReading(steps) == Self.swiftReading(steps))
        // More nodes than a list may have: no number of an error of the text.
        let nodes = (0..<1024).map { NodeInfo(number: NodeNumber($0), state: "up") }
        var known = Self.set(of: nodes)
        defer { bproc_nodeset_free(&known) }
        var chosen = bproc_node_set_t()
        let most = Array(repeating: "all", count: 1024).joined(separator: ",")
        #expect(bproc_nodefilter(&chosen, &known, most) == 1 << 20)
        #expect(chosen.node[(1 << 20) - 1].node == 1023)
        bproc_nodeset_free(&chosen)
        #expect(bproc_nodefilter(&chosen, &known, most + ",0") == -1)
        #expect(errno == E2BIG)
        guard case .complaint = Self.swiftReading(most + ",0", known: nodes) else {
            Issue.record("the Swift reader lists more than a million nodes")
            return
        }
    }

    @Test func entriesKeepWhatTheyHold() {
        var known = Self.set(of: Self.known)
        let count = withUnsafeMutablePointer(to: &known) { bproc_nodefilter($0, $0, "up,master") }
        #expect(count == 3)
        #expect(known.node[0].node == 0 && known.node[0].user == 12)
        #expect(known.node[2].node == -1 && known.node[2].mode == 0o111)
        #expect(known.node[2].user == 0)
        bproc_nodeset_free(&known)
    }
}

/// xorshift: the same texts in every run.
struct Generator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }
}
