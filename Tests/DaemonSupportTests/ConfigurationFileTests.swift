import ArgumentParser
import DaemonSupport
import Foundation
import Testing

/// What a configuration file says becomes arguments that the command line overrides.
@Suite struct ConfigurationFileTests {
    struct Sample: ParsableCommand {
        @OptionGroup var daemon: DaemonOptions
        @Option var count = 1
        @Option var name: String?
        @Option var rule: [String] = []

        func validate() throws {
            guard count > 0 else { throw ValidationError("--count must be positive") }
            for rule in rule where rule.contains("bad") {
                throw ValidationError("the rule '\(rule)' is bad")
            }
            guard name != "lonely" || count > 5 else {
                throw ValidationError("--name lonely needs a --count above 5")
            }
        }
    }

    private func arguments(_ text: String) throws -> [String] {
        try ConfigurationFile(text, path: "s.json5").arguments(for: Sample.self)
    }

    private func mistakes(_ text: String) -> [String] {
        do {
            return try ConfigurationFile(text, path: "s.json5").mistakes(
                for: Sample.self, before: []
            ).map(\.description)
        } catch {
            return "\(error)".split(separator: "\n").map(String.init)
        }
    }

    @Test func valuesBecomeArguments() throws {
        let text = """
            // JSON5: comments, bare keys, single quotes, commas at the end.
            { count: 7, name: 'a b', foreground: true, 'no-io-uring': false, "log-level": "info", }
            """
        let expected = ["--count=7", "--name=a b", "--foreground", "--log-level=info"]
        #expect(try arguments(text) == expected)
        let sample = try Sample.parse(expected)
        #expect(sample.count == 7 && sample.name == "a b")
        #expect(sample.daemon.foreground && !sample.daemon.forbidsRing)
    }

    @Test func whatMayBeRepeatedIsAListOrAnObject() throws {
        #expect(try arguments("{ rule: 'a' }") == ["--rule=a"])
        #expect(
            try arguments("{ rule: ['a', 2, 'c=d',] }") == ["--rule=a", "--rule=2", "--rule=c=d"])
        #expect(
            try arguments("{ rule: { z: '1-3', /* x */ 'a b': 7 } }")
                == ["--rule=z=1-3", "--rule=a b=7"])
        #expect(try arguments("{ rule: { '\\u0061': 1, b: 2 } }") == ["--rule=b=2", "--rule=a=1"])
        #expect(mistakes("{ name: ['a'] }") == ["s.json5:1:9: 'name' is a number or a string"])
        #expect(mistakes("{ rule: [[1]] }").count == 1)
    }

    @Test func theCommandLineWins() throws {
        let file = NSTemporaryDirectory() + "bproc-\(UUID().uuidString).json5"
        try "{ count: 7, name: 'file', nice: -5 }".write(
            toFile: file, atomically: false, encoding: .utf8)
        defer { try? FileManager.default.removeItem(atPath: file) }
        for commandLine in [
            ["--config", file, "--count", "9"], ["--config=\(file)", "--count=9"],
        ] {
            let words = try ConfigurationFile.arguments(
                commandLine, defaultPath: "/nonexistent", for: Sample.self)
            let sample = try Sample.parse(words)
            #expect(sample.count == 9)
            #expect(sample.name == "file")
            #expect(sample.daemon.nice == -5)
        }
        let byDefault = try ConfigurationFile.arguments([], defaultPath: file, for: Sample.self)
        #expect(try Sample.parse(byDefault).count == 7)
    }

    @Test func onlyTheDefaultFileMayBeMissing() throws {
        let words = ["--count", "2"]
        #expect(
            try ConfigurationFile.arguments(
                words, defaultPath: "/nonexistent/a", for: Sample.self) == words)
        #expect(throws: ConfigurationFile.Problem.self) {
            try ConfigurationFile.arguments(
                ["--config", "/nonexistent/b"], defaultPath: "/nonexistent/a", for: Sample.self)
        }
    }

    @Test func everyMistakeIsNamedWithItsPlace() {
        let text = """
            { // é comes before a key
              coun: 7, "log-level": 'loud',
              foreground: 1,  count: 0,
              rule: ['good', 'bad one', 'fine', 'a bad one'],
              count: 3, /* é */ nice: 40, config: 'x',
            }
            """
        #expect(
            mistakes(text) == [
                "s.json5:2:3: there is no key 'coun'",
                "s.json5:2:25: 'loud' is not a log level: trace, debug, info, notice, warning, "
                    + "error or critical",
                "s.json5:3:15: 'foreground' is true or false",
                "s.json5:3:26: --count must be positive",
                "s.json5:4:18: the rule 'bad one' is bad",
                "s.json5:4:37: the rule 'a bad one' is bad",
                "s.json5:5:3: 'count' stands here a second time",
                "s.json5:5:27: --nice must be -20 to 19",
                "s.json5:5:31: there is no key 'config'",
            ])
    }

    /// What is wrong with two values together belongs to the second; alone, each would be judged
    /// otherwise.
    @Test func valuesAreJudgedTogether() {
        #expect(mistakes("{ name: 'lonely', count: 9 }") == [])
        #expect(mistakes("{ count: 9, name: 'lonely' }") == [])
        #expect(
            mistakes("{ count: 2,\n name: 'lonely' }")
                == ["s.json5:2:8: --name lonely needs a --count above 5"])
        #expect(mistakes("{ count: 'many' }").count == 1)
    }

    @Test(arguments: [
        ("", 1, 1), ("{", 1, 1), ("{ count: }", 1, 10), ("{ count 7 }", 1, 9),
        ("{ count: 7 ", 1, 1),
        ("{\n  count: 7\n  name: 'x' }", 3, 3), ("{ name: 'x }", 1, 9), ("{ name: x }", 1, 9),
        ("{ /* }", 1, 3), ("{ count: 7 }}", 1, 13), ("{ rule: [1, 2 }", 1, 15), ("{ 7: 7 }", 1, 3),
        ("{ é }", 1, 3), ("[1]", 1, 1), ("7", 1, 1), ("{ / }", 1, 4), ("{ a: 1,, }", 1, 8),
        ("{\n log-level: 'info' }", 2, 2), ("{ count: 7, a.b: 1 }", 1, 13),
    ])
    func syntaxHasAPlace(text: String, line: Int, column: Int) {
        let found = mistakes(text)
        #expect(found.count == 1)
        #expect(found.first?.hasPrefix("s.json5:\(line):\(column): ") == true, "\(found)")
    }

    /// Each line of a valid file, changed in every simple way: it is valid, or its mistakes are
    /// named; and a mistake that is in one line is named in that line or the one that it breaks.
    @Test func mutatedLinesAreValidOrNamed() {
        let lines = [
            "{", "  // comment", "  count: 7, name: 'a b',", "  /* block */ foreground: true,",
            "  rule: ['one', \"two\", 3],", "  'log-level': \"info\",", "  nice: -5,", "}",
        ]
        #expect(mistakes(lines.joined(separator: "\n")) == [])
        var judged = 0
        var named = 0
        for (number, line) in lines.enumerated() {
            for mutation in Self.mutations(of: line) {
                var changed = lines
                changed[number] = mutation
                let found = mistakes(changed.joined(separator: "\n"))
                judged += 1
                named += found.isEmpty ? 0 : 1
                for sentence in found where !sentence.hasPrefix("s.json5:") {
                    Issue.record("\(mutation): \(sentence)")
                }
            }
        }
        #expect(judged > 1000 && named > 300)
    }

    private static func mutations(of line: String) -> [String] {
        let bytes = Array(line.utf8)
        var found: [String] = ["", line + line, line + ",", "{" + line]
        for index in bytes.indices {
            var without = bytes
            without.remove(at: index)
            found.append(String(decoding: without, as: UTF8.self))
            for byte in "{}[]:,'\"/*\\x0\u{1}\u{e9}".utf8 {
                var replaced = bytes
                replaced[index] = byte
                found.append(String(decoding: replaced, as: UTF8.self))
                replaced = bytes
                replaced.insert(byte, at: index)
                found.append(String(decoding: replaced, as: UTF8.self))
            }
        }
        return found
    }
}
