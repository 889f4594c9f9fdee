import Testing

/// Rules that hold for the text of every file.
@Suite struct TextTests {
    static let code: Set<String> = ["swift", "c", "h", "S"]
    static let columnLimit = 100
    static let sourceLineLimit = 600

    /// Words that must not stand in the repository; put together here so that this file passes.
    static let privatePaths = ["/wo" + "rk/", "/ro" + "ot/", "/ho" + "me/", "/fa" + "rm/"]

    @Test func linesFitInAHundredColumns() {
        for folder in ["Sources", "Tests", "Benchmarks"] {
            for file in SourceTree.files(under: folder, withExtensions: Self.code) {
                for (index, line) in file.lines.enumerated() where !line.contains("://") {
                    #expect(
                        line.count <= Self.columnLimit,
                        "\(file.path):\(index + 1) has \(line.count) columns")
                }
            }
        }
    }

    @Test func sourceFilesHaveOneSubject() {
        for file in SourceTree.files(under: "Sources", withExtensions: Self.code) {
            let lineCount = file.lines.count - 1
            #expect(lineCount <= Self.sourceLineLimit, "\(file.path) has \(lineCount) lines")
        }
    }

    @Test func indentationIsMadeOfSpaces() {
        let withoutTabs = Self.code.union(["md", "sh", "py", "service", "json", "modulemap"])
        for file in SourceTree.files where withoutTabs.contains(file.extension) {
            for (index, line) in file.lines.enumerated() where line.contains("\t") {
                Issue.record("\(file.path):\(index + 1) holds a tab")
            }
        }
    }

    @Test func markdownHasOneTitle() {
        for file in SourceTree.files where file.extension == "md" {
            let count = Self.titles(in: file)
            #expect(count == 1, "\(file.path) has \(count) titles")
        }
        let sample = TextFile(path: "a.md", text: "# One\n```\n# a comment\n```\n## Two\n# Three\n")
        #expect(Self.titles(in: sample) == 2)
    }

    /// Lines that start with one #, code blocks left out.
    static func titles(in file: TextFile) -> Int {
        var isCode = false
        var count = 0
        for line in file.lines {
            if line.hasPrefix("```") { isCode.toggle() }
            if !isCode, line.hasPrefix("# ") { count += 1 }
        }
        return count
    }

    @Test func whatIsLeftToDoNamesItsIssue() {
        for file in SourceTree.files {
            for (index, line) in file.lines.enumerated() where Self.isOpenEnd(line) {
                Issue.record("\(file.path):\(index + 1) leaves something to do without an issue")
            }
        }
        #expect(Self.isOpenEnd("// " + "TO" + "DO: later"))
        #expect(!Self.isOpenEnd("// " + "TO" + "DO(#12): later"))
    }

    private static func isOpenEnd(_ line: Substring) -> Bool {
        // No word boundary is needed before the bracket: "(#12)" follows the word at once.
        let marks = ["TO" + "DO", "FIX" + "ME"]
        return marks.contains { mark in
            line.ranges(of: mark).contains { !line[$0.upperBound...].hasPrefix("(#") }
        }
    }

    @Test func nothingNamesOneMachinesFolders() {
        for file in SourceTree.files {
            for (index, line) in file.lines.enumerated() {
                for path in Self.privatePaths where line.contains(path) {
                    Issue.record("\(file.path):\(index + 1) names \(path)")
                }
            }
        }
    }
}
