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
    }

    private func arguments(_ text: String) throws -> [String] {
        try ConfigurationFile(text, path: "sample.json5").arguments(for: Sample.self)
    }

    private func problem(_ text: String) -> String {
        do {
            return "no problem, but \(try arguments(text))"
        } catch {
            return "\(error)"
        }
    }

    @Test func valuesBecomeArguments() throws {
        let text = """
            // JSON5: comments, bare keys, single quotes, commas at the end.
            { count: 7, name: 'a b', foreground: true, 'no-io-uring': false, "log-level": "info", }
            """
        let expected = ["--count=7", "--foreground", "--log-level=info", "--name=a b"]
        #expect(try arguments(text) == expected)
        let sample = try Sample.parse(expected)
        #expect(sample.count == 7 && sample.name == "a b")
        #expect(sample.daemon.foreground && !sample.daemon.forbidsRing)
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

    @Test func problemsNameFileAndKey() {
        for text in ["{ coun: 7 }", "{ config: 'x' }", "{ help: true }", "{ version: true }"] {
            let key = text.split(separator: " ")[1].dropLast()
            #expect(problem(text) == "sample.json5: there is no key '\(key)'")
        }
        #expect(problem("{ foreground: 1 }") == "sample.json5: 'foreground' is true or false")
        #expect(problem("{ count: true }") == "sample.json5: 'count' is a number or a string")
        #expect(problem("{ count: [1] }").hasPrefix("sample.json5: 'count' is neither"))
        #expect(problem("{ count: null }").hasPrefix("sample.json5: 'count' is neither"))
        #expect(problem("[1]").hasPrefix("sample.json5: a configuration is one object"))
        #expect(problem("{ count: ").hasPrefix("sample.json5: "))
    }

    /// A number that the option does not take reaches the option's own parser.
    @Test func valuesAreJudgedByTheOptions() throws {
        let words = try arguments("{ count: 'many' }")
        #expect(throws: (any Error).self) { try Sample.parse(words) }
        let level = try arguments("{ 'log-level': 'loud' }")
        #expect(throws: (any Error).self) { try Sample.parse(level) }
    }
}
