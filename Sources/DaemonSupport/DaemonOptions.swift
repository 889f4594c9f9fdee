public import ArgumentParser
import CSystem
public import DaemonLog
import Logging
public import System

/// The options that both daemons have.
public struct DaemonOptions: ParsableArguments {
    @Flag(help: "Stay in the foreground and log to standard error.")
    public var foreground = false

    @Option(
        help: ArgumentHelp(
            """
            Least level that is logged: trace, debug, info, notice, warning, error, critical; \
            other levels for single components behind commas, as info,relay=debug: daemon, link, \
            relay, launch, node, hook, program.
            """, valueName: "levels"))
    public var logLevel: String = "notice"

    @Option(help: ArgumentHelp("Write the daemon's pid to this file.", valueName: "file"))
    public var pidFile: String?

    @Flag(
        help: """
            Allow addresses other than loopback although peers are not authenticated: whoever \
            reaches the port can start programs as any user. Warns once a minute.
            """)
    public var insecureNoAuthentication = false

    @Flag(name: .customLong("no-io-uring"), help: "Use epoll even where io_uring works.")
    public var forbidsRing = false

    @Option(
        help: ArgumentHelp(
            "Socket buffers of relay links in bytes, 0: the kernel decides.", valueName: "bytes"))
    public var socketBuffer = 4 << 20

    @Option(
        help: ArgumentHelp(
            """
            Nice value of the daemon and its session, so that images travel before the programs \
            that have arrived take the processor; the programs run at their own. Below 0 it needs \
            privilege.
            """, valueName: "n"))
    public var nice: Int32 = -20

    @Option(
        help: ArgumentHelp(
            "Read this configuration file instead of the one in /etc/bproc, if that exists.",
            valueName: "file"))
    public var config: String?

    @Flag(
        help: """
            Say what is wrong with the configuration file, every mistake with its line and column, \
            and end: with status 0 if nothing is.
            """)
    public var checkConfig = false

    public init() {}

    public func validate() throws {
        _ = try logLevels()
        guard (-20...19).contains(nice) else { throw ValidationError("--nice must be -20 to 19") }
        guard (0...(1 << 30)).contains(socketBuffer) else {
            throw ValidationError("--socket-buffer must be 0 to 1073741824 bytes")
        }
    }

    public func logLevels() throws -> LogLevels {
        do throws(LogLevels.Problem) {
            return try LogLevels(parsing: logLevel)
        } catch {
            throw ValidationError(error.description)
        }
    }

    /// The daemon's log on standard error.
    public func log(_ label: String) throws -> DaemonLog {
        DaemonLog(label: label, levels: try logLevels())
    }

    /// Puts the daemon before the programs it starts. Not as a real-time process: that starves the
    /// kernel's own network threads, and a launch takes seconds (measured).
    public func takePrecedence(_ log: DaemonLog) {
        guard nice != 0 else { return }
        let result = bp_set_nice(nice)
        if result < 0 {
            let error = SystemCallError("set nice value", result: result)
            log.daemon.info("the daemon keeps its priority: \(error)")
        }
        _ = bp_set_session_nice(nice)
    }

    /// Refuses an address that others can reach, unless that was asked for by name.
    public func requireReachOfLoopback(_ address: SocketAddress, _ what: String) throws {
        guard address.isLoopback || insecureNoAuthentication else {
            throw ValidationError(
                "\(what) \(address) is not a loopback address, and peers are not authenticated: "
                    + "--insecure-no-authentication allows it on a network you trust")
        }
    }
}

/// The way from the command line to a daemon that says when it is ready.
public struct Launcher {
    private let readyDescriptor: Int32?
    private let pidFile: String?

    /// Goes to the background unless the options say otherwise: what follows runs in the daemon.
    public init(_ options: DaemonOptions) throws(SystemCallError) {
        pidFile = options.pidFile
        readyDescriptor =
            options.foreground
            ? nil : Int32(try check("go to the background", bp_daemonize()))
    }

    /// Lets the foreground process end well, tells systemd, and writes the pid file.
    public func isReady() throws(SystemCallError) {
        if let pidFile {
            let text = "\(bp_own_pid())\n"
            try check(
                "write \(pidFile)",
                unsafe pidFile.withCString { path in
                    unsafe text.withCString { unsafe bp_write_file(path, $0) }
                })
        }
        _ = unsafe "READY=1".withCString { unsafe bp_notify($0) }
        report(0)
    }

    /// Ends the foreground process with an exit code of its own.
    public func hasFailed(_ code: UInt8) { report(code) }

    public func isEnding() {
        _ = unsafe "STOPPING=1".withCString { unsafe bp_notify($0) }
        if let pidFile { _ = unsafe pidFile.withCString { unsafe bp_unlink_path($0) } }
    }

    private func report(_ code: UInt8) {
        guard let readyDescriptor else { return }
        var code = code
        _ = unsafe bp_write(readyDescriptor, &code, 1)
        _ = bp_close(readyDescriptor)
    }
}
