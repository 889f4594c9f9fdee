import CLocalProtocol
package import LocalProtocol
package import MasterCore
package import Wire

/// Reads a launch message: every count is compared with what has really come before it is believed.
package struct LaunchParser {
    let body: [UInt8]
    private var offset = 0

    package init(_ body: [UInt8]) { self.body = body }

    private mutating func take(_ byteCount: Int, _ what: String) throws(LocalProtocolError)
        -> ArraySlice<UInt8>
    {
        guard byteCount >= 0, byteCount <= body.count - offset else { throw .tooSmall(what) }
        defer { offset += byteCount }
        return body[offset..<(offset + byteCount)]
    }

    private mutating func takeText(_ byteCount: Int, _ what: String) throws(LocalProtocolError)
        -> String
    {
        guard byteCount <= LaunchOrder.pathLimit else { throw .invalid("\(what) is too long") }
        let bytes = try take(byteCount, what)
        guard !bytes.contains(0), let text = String(validating: bytes, as: UTF8.self) else {
            throw .invalid("\(what) is not text")
        }
        return text
    }

    package mutating func request(
        client: ClientID, caller: Caller, origin: LaunchOrigin? = nil, imageByteCount: UInt64,
        unpackedByteCount: UInt64 = 0, stallMilliseconds: UInt32
    ) throws(LocalProtocolError) -> LaunchRequest {
        guard let raw = LocalMessage.load(bproc_local_launch.self, from: body) else {
            throw .tooSmall("launch message")
        }
        offset = MemoryLayout<bproc_local_launch>.size
        guard raw.rank_count > 0 else { throw .invalid("the node set is empty") }
        guard raw.rank_count <= UInt32(MasterState.rankLimit) else {
            throw .invalid("\(raw.rank_count) ranks, at most \(MasterState.rankLimit) are allowed")
        }
        let nodeBytes = try take(Int(raw.rank_count) * 4, "node list")
        var nodes: [Int32] = []
        nodes.reserveCapacity(Int(raw.rank_count))
        for start in stride(from: nodeBytes.startIndex, to: nodeBytes.endIndex, by: 4) {
            nodes.append(LocalMessage.load(Int32.self, from: body, at: start)!)
        }
        let processes = try takeProcesses(raw)
        let descriptors = try takeDescriptors(raw)
        let directory = try takeText(Int(raw.directory_bytes), "working directory")
        let command = try takeText(Int(raw.command_bytes), "command")
        guard offset == body.count else { throw .invalid("bytes follow the launch message") }
        let chunk = raw.chunk_byte_count
        guard chunk % ChunkSize.granularity == 0, chunk <= ChunkSize.limit else {
            throw .invalid("a chunk of \(chunk) bytes: it must be a multiple of 16 KiB up to 8 MiB")
        }
        var order = LaunchOrder(
            imageByteCount: imageByteCount,
            chunkByteCount: chunk > 0 ? chunk : ChunkSize.granularity, user: caller.user,
            group: caller.group, supplementaryGroups: caller.supplementaryGroups,
            umask: raw.umask & 0o777, nice: max(-20, min(19, raw.nice)), limits: limits(raw),
            descriptors: descriptors, directory: directory, command: command,
            stallMilliseconds: stallMilliseconds)
        order.unpackedByteCount = unpackedByteCount
        order.firstRank = raw.first_rank
        if !processes.isEmpty {
            order.flags.insert(.numbered)
            if raw.flags & UInt32(BPROC_LOCAL_LAUNCH_ANY_PID) != 0 { order.flags.insert(.anyPid) }
        }
        // What is set up after the last rank is placed must find no rank running.
        if raw.flags & UInt32(BPROC_LOCAL_LAUNCH_HOLD) != 0 || descriptors.hasDelayedItems {
            order.flags.insert(.hold)
        }
        var request = LaunchRequest(
            client: client, caller: caller, nodes: nodes, processes: processes, order: order,
            fanOut: Int(min(raw.fan_out, 65536)), chunkByteCount: chunk,
            wantsProgress: raw.flags & UInt32(BPROC_LOCAL_LAUNCH_PROGRESS) != 0,
            wantsStops: raw.flags & UInt32(BPROC_LOCAL_LAUNCH_STOPS) != 0, origin: origin)
        request.isMove = raw.flags & UInt32(BPROC_LOCAL_LAUNCH_MOVE) != 0 && nodes.count == 1
        request.wantsTimes = raw.flags & UInt32(BPROC_LOCAL_LAUNCH_TIMES) != 0
        return request
    }

    /// The ranks' numbers where the caller's side has chosen them: each the pid of a process of the
    /// caller's machine, no two alike. Whose they are is for the daemon to find out.
    private mutating func takeProcesses(
        _ raw: bproc_local_launch
    ) throws(LocalProtocolError) -> [Int32] {
        guard raw.flags & UInt32(BPROC_LOCAL_LAUNCH_PROCESSES) != 0 else { return [] }
        let start = try take(Int(raw.rank_count) * 4, "list of processes").startIndex
        let processes = (0..<Int(raw.rank_count)).map {
            LocalMessage.load(Int32.self, from: body, at: start + $0 * 4)!
        }
        guard processes.allSatisfy({ (1..<ProcessNumber.first).contains($0) }) else {
            throw .invalid("a process number that no process can have")
        }
        guard Set(processes).count == processes.count else {
            throw .invalid("one process number for two ranks")
        }
        return processes
    }

    private func limits(_ raw: bproc_local_launch) -> [LaunchOrder.Limit] {
        let words = LocalMessage.bytes(of: raw.limits)
        return (0..<Int(BPROC_LOCAL_RLIMITS)).map { index in
            LaunchOrder.Limit(
                soft: LocalMessage.load(UInt64.self, from: words, at: index * 16)!,
                hard: LocalMessage.load(UInt64.self, from: words, at: index * 16 + 8)!)
        }
    }

    private mutating func takeDescriptors(_ raw: bproc_local_launch) throws(LocalProtocolError)
        -> Descriptors
    {
        if raw.io_count == Int32(BPROC_LOCAL_IO_FORWARD) {
            return .forwarded(standardInput: raw.stdin_mode == 0)
        }
        let forwards = raw.flags & UInt32(BPROC_LOCAL_LAUNCH_FORWARD) != 0
        guard (0...Int32(Descriptors.itemLimit)).contains(raw.io_count) else {
            throw .invalid(
                "\(raw.io_count) I/O items, at most \(Descriptors.itemLimit) are allowed")
        }
        var items: [Descriptors.Item] = []
        for _ in 0..<raw.io_count {
            items.append(try Self.item(Array(try take(Self.itemByteCount, "I/O item"))))
        }
        return forwards
            ? .forwarded(standardInput: raw.stdin_mode == 0, items: items) : .listed(items)
    }

    /// The size of a `bproc_io_t`, and where its fields lie: fixed by the 4.x interface.
    private static let itemByteCount = 280
    private static let unionPlace = 8
    private static let fileType: Int16 = 0
    private static let socketType: Int16 = 1

    private static func item(_ bytes: [UInt8]) throws(LocalProtocolError) -> Descriptors.Item {
        func load<T: FixedWidthInteger & BitwiseCopyable>(_ type: T.Type, _ place: Int) -> T {
            LocalMessage.load(type, from: bytes, at: place)!
        }
        let descriptor = load(Int32.self, 0)
        guard (0..<1024).contains(descriptor) else {
            throw .invalid("descriptor \(descriptor) in an I/O item")
        }
        let target: Descriptors.Item.Target
        switch load(Int16.self, 4) {
        case fileType:
            let name = bytes[(unionPlace + 16)...]
            guard let end = name.firstIndex(of: 0),
                let path = String(validating: name[..<end], as: UTF8.self), !path.isEmpty
            else { throw .invalid("the file name of an I/O item is not text") }
            target = .file(
                path: path, openFlags: load(Int32.self, unionPlace),
                mode: load(UInt32.self, unionPlace + 4), offset: load(Int64.self, unionPlace + 8))
        case socketType:
            guard load(UInt16.self, unionPlace) == 2 else {
                throw .invalid("the socket of an I/O item is not IPv4")
            }
            let address = bytes[(unionPlace + 4)...]
            let first = address.startIndex
            target = .socket(
                NodeAddress(
                    ipv4: address[first], address[first + 1], address[first + 2],
                    address[first + 3],
                    port: load(UInt16.self, unionPlace + 2).byteSwapped))
        case let type: throw .invalid("I/O items of type \(type) are not for callers")
        }
        return Descriptors.Item(
            descriptor: descriptor, flags: load(UInt16.self, 6), target: target)
    }
}
