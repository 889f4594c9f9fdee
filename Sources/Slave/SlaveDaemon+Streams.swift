import CSystem
import Host
import DaemonLog
import Logging
import Ring
import System
import Wire

// Standard streams on the job channel, each with its own credit.
extension SlaveDaemon {
    // MARK: Output

    mutating func pollOutput(_ process: RankProcess, stream: Int) {
        guard let output = process.outputs[stream - 1], !output.isPolling,
            output.creditByteCount > 0 || output.isDropped
        else { return }
        output.isPolling = true
        host.ring.poll(
            output.descriptor.number, for: .readable,
            tag: ranks.tag(
                stream == 1 ? OperationKind.standardOutput : OperationKind.standardError, process))
    }

    mutating func outputIsReady(_ tag: OperationTag, stream: Int) {
        guard let process = ranks.process(tag) else { return }
        process.outputs[stream - 1]?.isPolling = false
        readOutput(process, stream: stream)
        if process.exit != nil {
            finishIfOver(process)
        } else {
            pollOutput(process, stream: stream)
        }
    }

    /// Takes what is there, as far as one turn of the loop should go, and forgets it.
    private func dropOutput(_ process: RankProcess, _ output: OutputStream, stream: Int) {
        var bytes = [UInt8](repeating: 0, count: OutputStream.windowByteCount)
        let count = unsafe bytes.withUnsafeMutableBytes { space in
            unsafe (try? Stream.readAvailable(output.descriptor.number, into: space)) ?? nil
        }
        if count == 0 { process.outputs[stream - 1] = nil }
    }

    /// Passes on what is there, as far as the credit goes.
    private mutating func readOutput(_ process: RankProcess, stream: Int) {
        if let output = process.outputs[stream - 1], output.isDropped {
            dropOutput(process, output, stream: stream)
            return
        }
        while let output = process.outputs[stream - 1], output.creditByteCount > 0 {
            let limit = min(output.creditByteCount, OutputStream.frameByteCount)
            var bytes = [UInt8](repeating: 0, count: limit)
            let count = unsafe bytes.withUnsafeMutableBytes { space in
                unsafe (try? Stream.readAvailable(output.descriptor.number, into: space)) ?? nil
            }
            guard let count else { return }
            guard count > 0 else {
                endOutput(process, stream: stream)
                return
            }
            bytes.removeLast(limit - count)
            let header = FrameHeader(
                .output, launch: process.launch, subject: process.rank, stream: UInt16(stream))
            sendControl(FrameHeader.frame(header, body: bytes))
            output.creditByteCount -= count
        }
    }

    /// What it has written comes before what it asks for, as far as the credit goes.
    mutating func passOutputs(of process: RankProcess) {
        for stream in 1...2 { readOutput(process, stream: stream) }
    }

    /// The process has ended: what stands in its pipes is still its output. A descendant that keeps
    /// the pipe open does not keep the exit from being told.
    mutating func drainOutputs(_ process: RankProcess) {
        for stream in 1...2 {
            readOutput(process, stream: stream)
            guard let output = process.outputs[stream - 1] else { continue }
            if output.isDropped {
                process.outputs[stream - 1] = nil
            } else if output.creditByteCount > 0 {
                endOutput(process, stream: stream)
            }
        }
    }

    mutating func outputCredit(_ header: FrameHeader, body: [UInt8]) throws(WireError) {
        var reader = WireReader(body)
        let byteCount = try reader.read(UInt64.self, "output credit")
        try reader.finish()
        let stream = Int(header.stream)
        guard (1...2).contains(stream),
            let process = ranks.process(launch: header.launch, rank: header.subject)
        else { return }
        if let output = process.outputs[stream - 1] {
            // The number is a client's: more than a window means a window, and must not overflow.
            let window = OutputStream.windowByteCount
            let increment = Int(clamping: min(byteCount, UInt64(window)))
            output.creditByteCount = min(window, output.creditByteCount + increment)
        }
        if process.exit != nil {
            finishIfOver(process)
        } else {
            pollOutput(process, stream: stream)
        }
    }

    /// Nobody reads these streams any more: what writes to them gets what a broken pipe gives.
    mutating func outputClosed(_ header: FrameHeader) {
        for process in ranks.processes(ofLaunch: header.launch)
        where header.subject == FrameHeader.allRanks || header.subject == process.rank {
            for stream in 1...2 where header.stream == 0 || Int(header.stream) == stream {
                closeOutput(process, stream: stream)
            }
            finishIfOver(process)
        }
    }

    private mutating func closeOutput(_ process: RankProcess, stream: Int) {
        guard let output = process.outputs[stream - 1] else { return }
        // The ring's hold on the pipe would keep it whole.
        if output.isPolling {
            host.ring.cancel(
                ranks.tag(
                    stream == 1 ? OperationKind.standardOutput : OperationKind.standardError,
                    process))
        }
        endOutput(process, stream: stream)
    }

    /// An empty frame is the end of the stream.
    private mutating func endOutput(_ process: RankProcess, stream: Int) {
        process.outputs[stream - 1] = nil
        let end = FrameHeader(
            .output, launch: process.launch, subject: process.rank, stream: UInt16(stream))
        sendControl(FrameHeader.frame(end))
    }

    // MARK: Input

    /// Bytes for one rank's stdin, or for all; none: the end.
    mutating func input(_ header: FrameHeader, body: [UInt8]) {
        for process in ranks.processes(ofLaunch: header.launch)
        where header.subject == FrameHeader.allRanks || header.subject == process.rank {
            guard let input = process.input else {
                sendInputCredit(process, byteCount: body.count)
                continue
            }
            if body.isEmpty { input.isAtEnd = true }
            guard input.pending.count + body.count <= InputStream.pendingLimit else {
                host.log.launch.warning(
                    "rank \(process.rank): more input than credit was given for")
                process.input = nil
                continue
            }
            input.pending += body
            writeInput(process)
        }
    }

    /// Nothing more comes for its stdin.
    mutating func endInput(of process: RankProcess) {
        process.input?.isAtEnd = true
        writeInput(process)
    }

    mutating func inputIsReady(_ tag: OperationTag) {
        guard let process = ranks.process(tag) else { return }
        process.input?.isPolling = false
        writeInput(process)
    }

    private mutating func writeInput(_ process: RankProcess) {
        guard let input = process.input, !input.isPolling else { return }
        do throws(SystemCallError) {
            var written = 0
            while written < input.pending.count {
                guard
                    let count = try Stream.writeAvailable(
                        input.descriptor.number, input.pending[written...])
                else {
                    input.isPolling = true
                    host.ring.poll(
                        input.descriptor.number, for: .writable,
                        tag: ranks.tag(OperationKind.input, process))
                    break
                }
                written += count
            }
            input.pending.removeFirst(written)
            if written > 0 { sendInputCredit(process, byteCount: written) }
            if input.isAtEnd, input.pending.isEmpty { process.input = nil }
        } catch {
            // It does not read any more: what was meant for it is taken as read.
            sendInputCredit(process, byteCount: input.pending.count)
            process.input = nil
        }
    }

    private mutating func sendInputCredit(_ process: RankProcess, byteCount: Int) {
        guard byteCount > 0 else { return }
        var writer = WireWriter()
        writer.write(UInt64(byteCount))
        sendControl(
            FrameHeader.frame(
                FrameHeader(.inputCredit, launch: process.launch, subject: process.rank),
                body: writer.bytes))
    }
}
