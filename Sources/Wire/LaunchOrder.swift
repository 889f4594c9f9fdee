/// What every node of a launch needs to know, the same for all: relays pass its bytes on untouched.
public struct LaunchOrder: Equatable, Sendable {
    public struct Limit: Equatable, Sendable {
        public var soft: UInt64
        public var hard: UInt64
        public init(soft: UInt64, hard: UInt64) {
            self.soft = soft
            self.hard = hard
        }
    }

    public struct Flags: OptionSet, Sendable, Equatable {
        public let rawValue: UInt32
        public init(rawValue: UInt32) { self.rawValue = rawValue }
        /// Ranks wait, restored, until the launch's done frame has come.
        public static let hold = Flags(rawValue: 1)
        /// On some machine there are more nodes of this launch than processors: ranks wait,
        /// restored, until the launch's done frame has come, or two seconds.
        public static let crowded = Flags(rawValue: 2)
        /// Somebody watches the launch: each node says that it has been reached.
        public static let watched = Flags(rawValue: 4)
        /// The process numbers are pids of the front end, which the processes shall have on their
        /// nodes too. Where one is taken, the rank fails with EEXIST before it has begun.
        public static let numbered = Flags(rawValue: 8)
        /// With `numbered`: such a rank gets another pid instead.
        public static let anyPid = Flags(rawValue: 16)
        /// The one rank goes on in its ghost, which is on its node: the server of its ghosts
        /// fetches the image there.
        public static let home = Flags(rawValue: 32)
    }

    /// Proof of who may launch what where; empty until trust is built.
    public var credential: [UInt8] = []
    public var flags: Flags = []
    /// What programs are told is their rank: this, and the rank in the launch. Ranks whose pid was
    /// taken are launched again one by one.
    public var firstRank: UInt32 = 0
    /// What travels in chunks: the image, or the packed image.
    public var imageByteCount: UInt64
    /// Bytes of the image if it travels packed; 0: it travels as it is.
    public var unpackedByteCount: UInt64 = 0
    public var chunkByteCount: UInt32
    public var user: UInt32
    public var group: UInt32
    public var supplementaryGroups: [UInt32]
    public var umask: UInt32
    public var nice: Int32
    /// RLIMIT_* in numeric order.
    public var limits: [Limit]
    public var descriptors: Descriptors
    public var directory: String
    public var command: String
    /// A relay or rank that shows no life for this long is given up.
    public var stallMilliseconds: UInt32

    /// LZ4 makes at most 255 bytes of one; nobody finds room for more.
    static let greatestExpansion: UInt64 = 255
    static let unpackedByteLimit: UInt64 = 1 << 46
    public static let groupLimit = 65536
    public static let limitLimit = 32
    public static let pathLimit = 4096
    public static let credentialLimit = 4096

    public init(
        imageByteCount: UInt64, chunkByteCount: UInt32, user: UInt32, group: UInt32,
        supplementaryGroups: [UInt32], umask: UInt32, nice: Int32, limits: [Limit],
        descriptors: Descriptors, directory: String, command: String, stallMilliseconds: UInt32
    ) {
        self.imageByteCount = imageByteCount
        self.chunkByteCount = chunkByteCount
        self.user = user
        self.group = group
        self.supplementaryGroups = supplementaryGroups
        self.umask = umask
        self.nice = nice
        self.limits = limits
        self.descriptors = descriptors
        self.directory = directory
        self.command = command
        self.stallMilliseconds = stallMilliseconds
    }

    /// How many chunks the image is cut into.
    public var chunkCount: UInt32 {
        UInt32((imageByteCount + UInt64(chunkByteCount) - 1) / UInt64(chunkByteCount))
    }

    /// The bytes of the image that chunk `index` holds.
    public func byteRange(ofChunk index: UInt32) -> Range<Int> {
        let start = UInt64(index) * UInt64(chunkByteCount)
        return Int(start)..<Int(min(start + UInt64(chunkByteCount), imageByteCount))
    }

    public func write(to writer: inout WireWriter) {
        writer.write(UInt32(credential.count))
        writer.write(credential)
        writer.write(flags.rawValue)
        writer.write(firstRank)
        writer.write(imageByteCount)
        writer.write(unpackedByteCount)
        writer.write(chunkByteCount)
        writer.write(user)
        writer.write(group)
        writer.write(UInt32(supplementaryGroups.count))
        for group in supplementaryGroups { writer.write(group) }
        writer.write(umask)
        writer.write(nice)
        writer.write(UInt32(limits.count))
        for limit in limits {
            writer.write(limit.soft)
            writer.write(limit.hard)
        }
        descriptors.write(to: &writer)
        writer.write(text: directory, limit: Self.pathLimit)
        writer.write(text: command, limit: Self.pathLimit)
        writer.write(stallMilliseconds)
    }

    public init(from reader: inout WireReader) throws(WireError) {
        let credentialByteCount = try reader.readCount(
            elementByteCount: 1, limit: Self.credentialLimit, "credential byte count")
        credential = try reader.readBytes(credentialByteCount, "credential")
        flags = Flags(rawValue: try reader.read(UInt32.self, "launch flags"))
        firstRank = try reader.read(UInt32.self, "first rank")
        imageByteCount = try reader.read(UInt64.self, "image byte count")
        unpackedByteCount = try reader.read(UInt64.self, "unpacked byte count")
        chunkByteCount = try reader.read(UInt32.self, "chunk byte count")
        guard chunkByteCount >= ChunkSize.granularity, chunkByteCount <= ChunkSize.limit,
            chunkByteCount % ChunkSize.granularity == 0
        else { throw .invalidValue(field: "chunk byte count", value: UInt64(chunkByteCount)) }
        guard imageByteCount > 0, imageByteCount < 1 << 46,
            imageByteCount / UInt64(chunkByteCount) < UInt64(UInt32.max)
        else { throw .invalidValue(field: "image byte count", value: imageByteCount) }
        guard unpackedByteCount < Self.unpackedByteLimit,
            unpackedByteCount / Self.greatestExpansion <= imageByteCount
        else { throw .invalidValue(field: "unpacked byte count", value: unpackedByteCount) }
        user = try reader.read(UInt32.self, "user")
        group = try reader.read(UInt32.self, "group")
        let groupCount = try reader.readCount(
            elementByteCount: 4, limit: Self.groupLimit, "supplementary group count")
        supplementaryGroups = []
        supplementaryGroups.reserveCapacity(groupCount)
        for _ in 0..<groupCount {
            supplementaryGroups.append(try reader.read(UInt32.self, "supplementary group"))
        }
        umask = try reader.read(UInt32.self, "umask")
        nice = try reader.read(Int32.self, "nice")
        let limitCount = try reader.readCount(
            elementByteCount: 16, limit: Self.limitLimit, "resource limit count")
        limits = []
        for _ in 0..<limitCount {
            let soft = try reader.read(UInt64.self, "soft limit")
            limits.append(Limit(soft: soft, hard: try reader.read(UInt64.self, "hard limit")))
        }
        descriptors = try Descriptors(from: &reader)
        directory = try reader.readText(limit: Self.pathLimit, "directory")
        command = try reader.readText(limit: Self.pathLimit, "command")
        stallMilliseconds = try reader.read(UInt32.self, "stall milliseconds")
        guard stallMilliseconds >= 100, stallMilliseconds <= 3_600_000 else {
            throw .invalidValue(field: "stall milliseconds", value: UInt64(stallMilliseconds))
        }
    }
}

/// The standard descriptors of the ranks: `bproc_io_t` on the wire.
public enum Descriptors: Equatable, Sendable {
    /// stdout and stderr come back over the job channel; stdin goes out over it, or is /dev/null.
    /// What is listed is set up after that, and takes the place of a stream.
    case forwarded(standardInput: Bool, items: [Item] = [])
    /// Only what is listed; nothing else is open.
    case listed([Item])

    public struct Item: Equatable, Sendable {
        public enum Target: Equatable, Sendable {
            case file(path: String, openFlags: Int32, mode: UInt32, offset: Int64)
            case socket(NodeAddress)
        }
        public var descriptor: Int32
        /// BPROC_IO_SEND_INFO 1, BPROC_IO_DELAY 2.
        public var flags: UInt16
        public var target: Target
        /// Set up when all ranks of the launch are placed.
        public var isDelayed: Bool { flags & 2 != 0 }

        public init(descriptor: Int32, flags: UInt16, target: Target) {
            self.descriptor = descriptor
            self.flags = flags
            self.target = target
        }

        func write(to writer: inout WireWriter) {
            writer.write(descriptor)
            writer.write(flags)
            switch target {
            case .file(let path, let openFlags, let mode, let offset):
                writer.write(UInt16(0))
                writer.write(openFlags)
                writer.write(mode)
                writer.write(offset)
                writer.write(text: path, limit: 255)
            case .socket(let address):
                writer.write(UInt16(1))
                address.write(to: &writer)
            }
        }
    }

    public static let itemLimit = 16

    /// What is listed, whatever else is open.
    public var items: [Item] {
        switch self {
        case .forwarded(_, let items), .listed(let items): items
        }
    }

    public var hasDelayedItems: Bool { items.contains(where: \.isDelayed) }

    /// Puts an address in the place of 0.0.0.0, which otherwise stands for the master's, as each
    /// node knows it.
    public mutating func nameCaller(_ caller: NodeAddress) {
        var items = items
        for index in items.indices {
            guard case .socket(let target) = items[index].target, target.isUnspecifiedIPv4 else {
                continue
            }
            var address = caller
            address.port = target.port
            items[index].target = .socket(address)
        }
        switch self {
        case .forwarded(let standardInput, _):
            self = .forwarded(standardInput: standardInput, items: items)
        case .listed: self = .listed(items)
        }
    }

    func write(to writer: inout WireWriter) {
        switch self {
        case .forwarded(let standardInput, let items):
            guard !items.isEmpty else {
                writer.write(UInt8(standardInput ? 1 : 0))
                return
            }
            writer.write(UInt8(standardInput ? 4 : 3))
        case .listed: writer.write(UInt8(2))
        }
        writer.write(UInt32(items.count))
        for item in items { item.write(to: &writer) }
    }

    init(from reader: inout WireReader) throws(WireError) {
        let kind = try reader.read(UInt8.self, "descriptor set-up")
        switch kind {
        case 0, 1: self = .forwarded(standardInput: kind == 1)
        case 2...4:
            let count = try reader.readCount(
                elementByteCount: 8, limit: Self.itemLimit, "descriptor count")
            // Without items there is a shorter form, and no launch has two.
            guard kind == 2 || count > 0 else {
                throw .invalidValue(field: "descriptor count", value: 0)
            }
            var items: [Item] = []
            for _ in 0..<count { items.append(try Self.item(from: &reader)) }
            self =
                kind == 2 ? .listed(items) : .forwarded(standardInput: kind == 4, items: items)
        default: throw .invalidValue(field: "descriptor set-up", value: UInt64(kind))
        }
    }

    private static func item(from reader: inout WireReader) throws(WireError) -> Item {
        let descriptor = try reader.read(Int32.self, "descriptor number")
        guard (0..<1024).contains(descriptor) else {
            throw .invalidValue(
                field: "descriptor number", value: UInt64(UInt32(bitPattern: descriptor)))
        }
        let flags = try reader.read(UInt16.self, "descriptor flags")
        let kind = try reader.read(UInt16.self, "descriptor kind")
        switch kind {
        case 0:
            let openFlags = try reader.read(Int32.self, "open flags")
            let mode = try reader.read(UInt32.self, "open mode")
            let offset = try reader.read(Int64.self, "open offset")
            let path = try reader.readText(limit: 255, "open path")
            return Item(
                descriptor: descriptor, flags: flags,
                target: .file(path: path, openFlags: openFlags, mode: mode, offset: offset))
        case 1:
            return Item(
                descriptor: descriptor, flags: flags,
                target: .socket(try NodeAddress(from: &reader)))
        default: throw .invalidValue(field: "descriptor kind", value: UInt64(kind))
        }
    }
}
