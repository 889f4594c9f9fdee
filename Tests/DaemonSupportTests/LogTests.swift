import DaemonLog
import Logging
import Testing

@Suite struct LogTests {
    @Test func levelsAreReadForEverythingAndForComponents() throws {
        let levels = try LogLevels(parsing: "info,relay=debug, launch = trace")
        #expect(levels.common == .info)
        #expect(levels[.relay] == .debug)
        #expect(levels[.launch] == .trace)
        #expect(levels[.node] == .info)
        let few = try LogLevels(parsing: "hook=error")
        #expect(few.common == .notice)
        #expect(few[.hook] == .error)
        #expect(few[.daemon] == .notice)
    }

    @Test(arguments: [
        (
            "loud",
            "'loud' is not a log level: trace, debug, info, notice, warning, error or critical"
        ),
        ("", "'' is not a log level: trace, debug, info, notice, warning, error or critical"),
        (
            "relay=",
            "'' is not a log level: trace, debug, info, notice, warning, error or critical"
        ),
        (
            "info,rely=debug",
            """
            'rely' is not a component of the log: daemon, link, relay, launch, node, hook or \
            program
            """
        ),
        ("info,debug", "'debug' is the second level for all components"),
        ("relay=info,relay=debug", "the component 'relay' has two log levels"),
    ])
    func whatIsNoLevelIsRefusedWithThoseThatThereAre(text: String, sentence: String) {
        do {
            _ = try LogLevels(parsing: text)
            Issue.record("taken")
        } catch {
            #expect(error.description == sentence)
        }
    }

    @Test func linesSayWhatTheyAreAbout() {
        let plain = LineForm.plain.line(
            .warning, label: "bpslave.relay", component: .relay, message: "node 3 lost")
        let time = plain.prefixMatch(of: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d{4}/)
        let rest = plain.dropFirst(time?.output.count ?? 0)
        #expect(time != nil && rest == " warning bpslave.relay: node 3 lost\n", "\(plain)")
        let priorities: [Logger.Level: String] = [
            .trace: "<7>", .debug: "<7>", .info: "<6>", .notice: "<5>", .warning: "<4>",
            .error: "<3>", .critical: "<2>",
        ]
        for level in Logger.Level.allCases {
            let line = LineForm.journal.line(
                level, label: "bpslave.hook", component: .hook, message: "ended")
            #expect(line == "\(priorities[level]!)hook: ended\n")
        }
    }

    /// A reason that a peer or a user has written cannot pretend to be another line.
    @Test func aMessageIsOneLine() {
        let line = LineForm.journal.line(
            .info, label: "", component: .node, message: "a\n<2>daemon: b\u{1b}[0m\u{7f}é")
        #expect(line == "<6>node: a\\x0a<2>daemon: b\\x1b[0m\\x7fé\n")
    }
}
