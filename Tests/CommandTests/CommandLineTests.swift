import BProc
import CommandSupport
import Foundation
import Testing

@Suite struct CommandSplitTests {
    static let grammar = CommandSplit.Grammar(
        valued: ["--fan-out", "-b"], nodeSelecting: ["-a", "-A", "--all-up"])

    static func split(_ words: String...) -> (options: [String], nodes: String?, command: [String])
    {
        let split = CommandSplit(words.map { Array($0.utf8) }, grammar: grammar)
        func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
        return (split.options.map(text), split.nodes.map(text), split.command.map(text))
    }

    @Test func optionsStandBeforeAndAfterTheNodes() {
        let split = Self.split("-p", "0-3", "-t", "--fan-out", "8", "ls", "-p", "-t")
        #expect(split.options == ["-p", "-t", "--fan-out", "8"])
        #expect(split.nodes == "0-3")
        #expect(split.command == ["ls", "-p", "-t"])
    }

    @Test func nodeSelectingOptionsTakeTheArgumentsPlace() {
        let split = Self.split("-pa", "date", "-u")
        #expect(split.nodes == nil)
        #expect(split.command == ["date", "-u"])
        // A long option with an "a" in it selects nothing.
        #expect(Self.split("--fan-out=3", "1", "x").nodes == "1")
        #expect(Self.split("--all-up", "date").command == ["date"])
    }

    @Test func lettersEndWhereOneHasAValue() {
        let split = Self.split("-pb", "10", "3", "date")
        #expect(split.options == ["-p", "-b", "10"])
        #expect(split.nodes == "3")
        // The "a" belongs to the value.
        #expect(Self.split("-pba", "3", "date").options == ["-p", "-ba"])
        #expect(Self.split("-pba", "3", "date").nodes == "3")
        #expect(Self.split("-ab", "7", "date").command == ["date"])
    }

    @Test func aDoubleDashEndsTheOptions() {
        let split = Self.split("--", "0", "-x", "y")
        #expect(split.nodes == "0")
        #expect(split.command == ["-x", "y"])
        #expect(Self.split("0", "--", "-x").command == ["-x"])
        #expect(Self.split("-a", "--", "-x").command == ["-x"])
    }

    @Test func missingPartsStayEmpty() {
        #expect(Self.split().nodes == nil)
        #expect(Self.split("0").command == [])
        #expect(Self.split("-").nodes == "-")
        #expect(Self.split("0", "-b").options == ["-b"])
    }

    @Test func bytesPassUnchanged() {
        let split = CommandSplit([[0x30], [0x78], [0xff, 0xfe]], grammar: Self.grammar)
        #expect(split.command == [[0x78], [0xff, 0xfe]])
    }
}

@Suite struct OrderedOptionsTests {
    typealias Item = OrderedOptions.Item

    static func items(_ words: String...) -> [Item] {
        OrderedOptions(words, valued: ["-S", "-s", "--state"]).items
    }

    @Test func orderAndRepetitionAreKept() {
        #expect(
            Self.items("-S", "0-3", "--state", "up", "-R", "-S", "7", "-s", "error")
                == [
                    Item("-S", "0-3"), Item("--state", "up"), Item("-R"), Item("-S", "7"),
                    Item("-s", "error"),
                ])
    }

    @Test func valuesStandInEveryForm() {
        #expect(
            Self.items("-S0", "-s=up", "--state=a=b", "--state=", "-fSall")
                == [
                    Item("-S", "0"), Item("-s", "up"), Item("--state", "a=b"),
                    Item("--state", ""), Item("-f"), Item("-S", "all"),
                ])
        #expect(Self.items("-S", "-s", "x") == [Item("-S", "-s")])
        #expect(Self.items("-s") == [Item("-s")])
        #expect(Self.items("-f", "--", "-S", "0") == [Item("-f")])
    }
}

@Suite struct PathSearchTests {
    /// A directory with a program, a plain file, and a directory called "tool".
    private func withDirectories(_ body: (String) throws -> Void) throws {
        var template = Array("/tmp/bproc-path-XXXXXX".utf8CString)
        let path = String(cString: try #require(mkdtemp(&template)))
        defer { try? FileManager.default.removeItem(atPath: path) }
        for directory in ["first/tool", "second", "third"] {
            try FileManager.default.createDirectory(
                atPath: "\(path)/\(directory)", withIntermediateDirectories: true)
        }
        for (file, mode) in [
            ("second/tool", 0o644), ("third/tool", 0o755), ("second/plain", 0o644),
        ] {
            try "x".write(toFile: "\(path)/\(file)", atomically: true, encoding: .utf8)
            try FileManager.default.setAttributes(
                [.posixPermissions: mode], ofItemAtPath: "\(path)/\(file)")
        }
        try body(path)
    }

    @Test func findsTheFirstThatCanBeExecuted() throws {
        try withDirectories { path in
            let search = "\(path)/nowhere:\(path)/first:\(path)/second:\(path)/third"
            let found = try PathSearch.find("tool", path: search)
            #expect(found == "\(path)/third/tool")
        }
    }

    @Test func tellsWhyNot() throws {
        try withDirectories { path in
            func sentence(_ name: String, _ search: String) -> String? {
                do throws(CommandError) {
                    return try PathSearch.find(name, path: search)
                } catch {
                    return error.sentence
                }
            }
            #expect(
                sentence("plain", "\(path)/second") == "\(path)/second/plain: permission denied")
            #expect(sentence("nothing", "\(path)/second") == "nothing: command not found")
            #expect(sentence("\(path)/first/tool", "") == "\(path)/first/tool: is a directory")
            #expect(
                sentence("\(path)/second/plain", "") == "\(path)/second/plain: permission denied")
            #expect(sentence("\(path)/no/such", "") == "\(path)/no/such: command not found")
            #expect(sentence("", "/bin") == "the command has no name")
        }
    }

    /// As shells answer: 127 for what is not there, 126 for what cannot be executed.
    @Test func theExitStatusIsAShells() throws {
        try withDirectories { path in
            func status(_ name: String, _ search: String) -> Int32? {
                do throws(CommandError) {
                    _ = try PathSearch.find(name, path: search)
                    return nil
                } catch {
                    return error.exitStatus
                }
            }
            #expect(status("nothing", "\(path)/second") == 127)
            #expect(status("\(path)/no/such", "") == 127)
            #expect(status("", "/bin") == 127)
            #expect(status("plain", "\(path)/second") == 126)
            #expect(status("\(path)/second/plain", "") == 126)
            #expect(status("\(path)/first/tool", "") == 126)
            #expect(status("tool", "\(path)/third") == nil)
        }
    }

    @Test func withoutPathTheUsualPlacesAreSearched() throws {
        #expect(try PathSearch.find("sh", path: nil) == "/bin/sh")
        #expect(throws: CommandError.self) { try PathSearch.find("sh", path: "") }
    }
}

@Suite struct NodeArgumentTests {
    static let known = (0..<8).map {
        Cluster.Node(
            number: $0, state: $0 == 3 ? "down" : "up", mode: 0o111, user: 0, group: 0,
            address: "127.1.1.\($0 + 1)")
    }

    @Test func keepsOrderAndNamesWhatIsMissing() throws {
        let argument = try NodeArgument("7,0-1,0,20-10020", known: Self.known)
        #expect(argument.nodes == [7, 0, 1, 0])
        #expect(argument.missing == ["20-10020"])
        #expect(try NodeArgument("notdown", known: Self.known).nodes == [0, 1, 2, 4, 5, 6, 7])
        #expect(try NodeArgument("127.1.1.6", known: Self.known).nodes == [5])
        #expect(NodeArgument(inState: "down", known: Self.known).nodes == [3])
    }

    @Test func aBadTextIsShownWithItsPlace() {
        #expect {
            try NodeArgument("0-3,%", known: Self.known)
        } throws: {
            ($0 as? CommandError)?.sentence.contains("character 5") ?? false
        }
    }
}

@Suite struct EnvironmentTests {
    @Test func settingReplacesAndAppends() {
        let entries = ["A=1", "B=2", "AB=3", "A=4"].map { Array($0.utf8) }
        let set = ProcessEnvironment.setting([("A", "9"), ("C", "")], in: entries)
        #expect(set.map { String(decoding: $0, as: UTF8.self) } == ["B=2", "AB=3", "A=9", "C="])
    }
}
