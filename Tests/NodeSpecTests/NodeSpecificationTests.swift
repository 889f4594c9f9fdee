import NodeSpec
import Testing

@Suite struct NodeSpecificationTests {
    /// Nodes 0-7 and 10; 2 and 5 are down, 6 is in a state of the site's own.
    static let known: [NodeInfo] = (Array(0...7) + [10]).map { number in
        NodeInfo(
            number: NodeNumber(number),
            state: [2, 5].contains(number) ? "down" : number == 6 ? "n9fsck" : "up")
    }

    static func resolve(_ text: String) throws -> NodeResolution {
        try NodeSpecification(parsing: text, groups: groups).resolve(against: known)
    }

    static let groups = try! NodeGroups(parsing: "rack1=0-3,10\ntwo=2\n")

    @Test(
        arguments: [
            ("3", [3]), ("1-3", [1, 2, 3]), ("6-", [6, 7, 10]), ("n3", [3]), (".3", [3]),
            ("n1-n3", [1, 2, 3]), (".6-", [6, 7, 10]), ("n1-.2", [1, 2]), ("master", [-1]),
            ("all", [0, 1, 2, 3, 4, 5, 6, 7, 10]), ("up", [0, 1, 3, 4, 7, 10]),
            ("allup", [0, 1, 3, 4, 7, 10]), ("down", [2, 5]), ("notdown", [0, 1, 3, 4, 6, 7, 10]),
            ("allnotup", [2, 5, 6]), ("alln9fsck", [6]), ("nosuchstate", []),
            ("3,1,2-3,3,master,1", [3, 1, 2, 3, 3, -1, 1]), ("010", [10]), ("0007", [7]),
            ("00000000000000000000000000000003", [3]), ("3-3", [3]),
            (
                "up,up",
                [
                    0, 1, 3, 4, 7, 10, 0, 1, 3, 4, 7, 10,
                ]
            ),
            ("n[1-2,10]", [1, 2, 10]), ("[7]", [7]), (".[6-,0]", [6, 7, 10, 0]),
            ("0-7:3", [0, 3, 6]),
            ("n[0-7:2],1", [0, 2, 4, 6, 1]), ("4-:3", [4, 7, 10]), ("1-3:1", [1, 2, 3]),
            ("3-5:9", [3]), ("!7", [0, 1, 2, 3, 4, 5, 6, 10]), ("!down,!0-3", [4, 6, 7, 10]),
            ("all,!n[0-6]", [7, 10]), ("!3,3,4,3", [4]), ("3,master,!master", [3]),
            ("@rack1", [0, 1, 2, 3, 10]), ("7,@two,@two", [7, 2, 2]),
            ("@rack1,!@two", [0, 1, 3, 10]),
            ("!@rack1,!up", [5, 6]), ("8,7,!8", [7]), ("0-9:3,!9", [0, 3, 6]),
        ] as [(String, [Int32])])
    func keepsOrderAndRepetition(text: String, expected: [Int32]) throws {
        let resolution = try Self.resolve(text)
        #expect(resolution.nodes == expected.map { NodeNumber($0) })
        #expect(resolution.missing.isEmpty)
    }

    @Test(
        arguments: [
            ("8", [], "8"), ("7-11,9,2", [7, 10, 2], "8-9,11"), ("11-", [], "11"), ("8-", [10], ""),
            ("0-2147483647", [0, 1, 2, 3, 4, 5, 6, 7, 10], "8-9,11-2147483647"),
            ("0-12:4", [0, 4], "8,12"), ("n[7-8,9]", [7], "8-9"), ("7-11,!9", [7, 10], "8,11"),
            ("0-2147483647,!5-", [0, 1, 2, 3, 4], ""),
            ("2147483647-", [], "2147483647"), ("2147483647", [], "2147483647"),
        ] as [(String, [Int32], String)])
    func namesWhatDoesNotExist(text: String, nodes: [Int32], missing: String) throws {
        let resolution = try Self.resolve(text)
        #expect(resolution.nodes == nodes.map { NodeNumber($0) })
        #expect(resolution.missing.description == missing)
    }

    @Test(
        arguments: [
            ("", 0), (",", 0), ("1,", 2), ("1,,2", 2), ("1 ,2", 1), (" 1", 0), ("-1", 0),
            ("5-3", 2),
            ("1-x", 2), ("1--2", 2), ("1-2-3", 3), ("4294967295", 0), ("0-4294967295", 2),
            ("2147483648", 0), ("0-3,99999999999999999999", 4), ("0x10", 1), ("n", nil), ("n1x", 2),
            ("not", 3), ("allnot", 6), ("up!", 2), (".", 1), (".x", 1), ("n-5", 1),
            ("abcdefghijklmnop", 0), ("notabcdefghijklmnop", 3), ("1,é", 2), ("3\n", 1),
            ("!", 1), ("!,", 1), ("1,!!2", 3), ("n[0-3", 1), ("1,n[", 3), ("[]", 1), ("n[0,]", 4),
            ("n[0;1]", 3), ("n[n1]", 2), ("n[0-x]", 4), ("0-3:0", 4), ("0-3:", 4), ("0-:x", 3),
            ("3:2", 1), ("1,0-2147483647:2", 2), ("@", 1), ("@nogroup", 1), ("1,@rack2", 3),
            ("@" + String(repeating: "g", count: 64), 1), ("0-3:4294967295", 4),
        ] as [(String, Int?)])
    func pointsAtTheCharacter(text: String, offset: Int?) {
        guard let offset else {
            // A lone "n" is the name of a state that no node has.
            #expect((try? Self.resolve(text))?.nodes == [])
            return
        }
        do {
            _ = try NodeSpecification(parsing: text)
            Issue.record("\(text) was read")
        } catch {
            #expect(error.offset == offset, "\(error.rendering)")
            #expect(error.description.contains("character \(offset + 1):"))
        }
    }

    @Test func drawsACaretUnderThePlace() throws {
        let error = try #require(throws: NodeSpecificationError.self) {
            try NodeSpecification(parsing: "0-3,7x")
        }
        #expect(
            error.rendering == """
                node specification, character 6: a comma or the end was expected, not "x"
                  0-3,7x
                       ^
                """)
        let long = String(repeating: "12,", count: 100) + "?" + String(repeating: ",3", count: 100)
        let far = try #require(throws: NodeSpecificationError.self) {
            try NodeSpecification(parsing: long)
        }
        let lines = far.rendering.split(separator: "\n")
        #expect(far.offset == 300)
        #expect(lines[1].count < 80)
        #expect(Array(lines[1])[lines[2].count - 1] == "?")
    }

    @Test(arguments: [
        "3", "1-3", "6-", "master", "all", "up", "notdown", "alln9fsck", "allmaster", "allallup",
        "3,1,2-3,3,master", "0-6:3", "5-:2", "all,!7", "0-7,!1-5:2,!up,!master",
    ])
    func readsBackWhatItWrites(text: String) throws {
        let specification = try NodeSpecification(parsing: text)
        #expect(specification.description == text)
        #expect(try NodeSpecification(parsing: specification.description) == specification)
    }

    @Test func refusesALongTextUnread() {
        let text = String(repeating: "1,", count: 1 << 19) + "1"
        let error = #expect(throws: NodeSpecificationError.self) {
            try NodeSpecification(parsing: text)
        }
        #expect(error?.description.contains("1048577 bytes") == true)
        #expect((error?.excerpt.count ?? 0) < 80)
    }

    @Test func readsTenThousandNumbersThatDoNotExist() throws {
        let text = (0..<10_000).map { String(100_000 + 2 * $0) }.joined(separator: ",")
        let resolution = try Self.resolve(text)
        #expect(resolution.nodes.isEmpty)
        #expect(resolution.missing.count == 10_000)
    }

    @Test func boundsTheListItMakes() throws {
        let many = (0..<Int32(10_000)).map { NodeInfo(number: NodeNumber($0), state: "up") }
        let text = String(repeating: "all,", count: 60_000) + "all"
        let specification = try NodeSpecification(parsing: text)
        #expect(throws: NodeSpecificationError.self) { try specification.resolve(against: many) }
        let absent = String(repeating: "gone,", count: 50_000) + "3"
        #expect(try NodeSpecification(parsing: absent).resolve(against: many).nodes == [3])
        let inverted = String(repeating: "notup,", count: 40_000) + "3"
        #expect(try NodeSpecification(parsing: inverted).resolve(against: many).nodes == [3])
    }

    @Test(arguments: [
        ("a b", "0", 1), ("", "0", 0), (String(repeating: "g", count: 64), "0", 0), ("g", "", 0),
        ("g", "0-3,up", 0), ("g", "1,", 2), ("g", "5-", 0), ("g", "!7", 0), ("g", "3,!3", 0),
        ("g", "@other", 1), ("g", "master", 0),
    ])
    func refusesGroupsThatAreNone(name: String, nodes: String, offset: Int) {
        var groups = NodeGroups()
        let error = #expect(throws: NodeSpecificationError.self) { try groups.add(name, nodes) }
        #expect(error?.offset == offset)
        #expect(groups == NodeGroups())
    }

    @Test func readsBackItsGroups() throws {
        var groups = NodeGroups()
        try groups.add("rack1", "n[0-31,40],!7")
        try groups.add("every.other_one-2", "0-6:2")
        #expect(groups.text == "every.other_one-2=0,2,4,6\nrack1=0-6,8-31,40\n")
        #expect(try NodeGroups(parsing: groups.text) == groups)
        #expect(throws: NodeSpecificationError.self) { try NodeGroups(parsing: "rack1\n") }
    }

    @Test func takesNodesInAnyOrderAndLeavesTheFrontEndOut() throws {
        let shuffled = [5, -1, 2, 9].map { NodeInfo(number: $0, state: "up") }
        let specification = try NodeSpecification(parsing: "all,2-5,up")
        let resolution = try specification.resolve(against: shuffled)
        #expect(resolution.nodes == [2, 5, 9, 2, 5, 2, 5, 9])
        #expect(resolution.missing.description == "3-4")
        let none = try NodeSpecification(parsing: "all,0-3,up,5-").resolve(against: [])
        #expect(none.nodes.isEmpty)
        #expect(none.missing.description == "0-3,5")
    }

    /// Arbitrary bytes either read or fail with a place inside the text; nothing traps.
    @Test(arguments: UInt64(1)...20)
    func survivesAnyText(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let alphabet = Array("0123456789-,n.alupnotmaster!x:@ \u{0}\u{e9}[]")
        for _ in 0..<500 {
            let text = String(
                (0..<random.next(below: 24)).map { _ in alphabet[random.next(below: alphabet.count)]
                })
            do {
                let specification = try NodeSpecification(parsing: text)
                let again = try NodeSpecification(parsing: specification.description)
                #expect(again == specification, "\(text)")
                _ = try specification.resolve(against: Self.known)
            } catch {
                #expect(error.offset >= 0 && error.offset <= text.utf8.count)
                _ = error.rendering
            }
        }
    }
}
