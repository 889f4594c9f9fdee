import CRestore
import System

/// What of a program's memory goes into an image, before any of it is read.
struct MemoryPlan {
    struct Area {
        let line: MapLine
        let ranges: [Range<UInt64>]

        var byteCount: Int { ranges.reduce(0) { $0 + $1.count } }

        /// Large and mostly untouched: a reservation, which must not count against the memory of
        /// the node. The maps file does not show MAP_NORESERVE.
        var isSparse: Bool {
            line.byteCount > 64 << 20 && UInt64(byteCount) < line.byteCount / 2
        }
    }

    /// What is read at once: large enough that the calls do not count, small enough for a cache.
    static let pieceByteCount = 64 * Int(BP_IMAGE_PAGE)

    private(set) var areas: [Area] = []
    /// The most that the data part can be.
    private(set) var byteCount = 0
    /// The most runs that can come of it.
    private(set) var mostRuns = 0

    var stack: MapLine? { areas.first { $0.line.isStack }?.line }

    init(of files: ProcFiles, lines: [MapLine], usesScan: Bool) throws(CaptureError) {
        let pages = try MemoryPages(of: files, usesScan: usesScan)
        for line in lines where !line.isKernels {
            if line.isShared && line.protection & 2 != 0 {
                throw .writableSharedMemory(address: line.start)
            }
            // The stack's content travels in the tables: what lies above the stack pointer.
            let ranges = line.isStack ? [] : try pages.ranges(of: line)
            let area = Area(line: line, ranges: ranges)
            areas.append(area)
            byteCount += area.byteCount
            for range in ranges {
                mostRuns += 4 * ((range.count + Self.pieceByteCount - 1) / Self.pieceByteCount)
            }
        }
        let limit = 65530  // vm.max_map_count on a stock kernel
        guard areas.count + mostRuns / 4 < limit else {
            throw .tooLarge(
                part: "number of mappings", byteCount: UInt64(areas.count), limit: UInt64(limit))
        }
    }

    /// The lowest hole of this size among the program's mappings, clear of the restorer's own
    /// place.
    func hole(of byteCount: UInt64, beside lines: [MapLine]) throws(CaptureError) -> UInt64 {
        var taken = lines.map { $0.start..<$0.end }
        taken.append(BP_RESTORER_ADDRESS..<(BP_RESTORER_ADDRESS + BP_RESTORER_RANGE))
        taken.sort { $0.lowerBound < $1.lowerBound }
        var candidate = BP_IMAGE_LOWEST_ADDRESS
        for range in taken {
            if range.lowerBound >= candidate && range.lowerBound - candidate >= byteCount {
                return candidate
            }
            candidate = max(candidate, range.upperBound)
        }
        guard candidate < BP_IMAGE_USER_END, BP_IMAGE_USER_END - candidate >= byteCount else {
            throw .system(SystemCallError("find room for the restore code", errorNumber: 12))
        }
        return candidate
    }
}

/// Reads a process's memory, also where the process itself may not.
struct MemoryReader: ~Copyable {
    private let files: ProcFiles
    private let memory: ProcessMemory
    private var file: OwnedDescriptor?

    init(of files: ProcFiles) {
        self.files = files
        memory = ProcessMemory(pid: files.pid)
    }

    /// Fills `bytes`. What cannot be read at all (a file mapping beyond the file's end) becomes
    /// zeros.
    mutating func read(
        _ address: UInt64, into bytes: UnsafeMutableRawBufferPointer
    ) throws(CaptureError) {
        var done = unsafe memory.read(address, into: bytes)
        let page = Int(BP_IMAGE_PAGE)
        while done < bytes.count {
            // Through /proc/<pid>/mem protection does not count: execute-only and PROT_NONE pages.
            let end = min(done / page * page + page, bytes.count)
            try unsafe readPage(
                address + UInt64(done), UnsafeMutableRawBufferPointer(rebasing: bytes[done..<end]))
            done = end
            let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[done...])
            if rest.count > 0 { done += unsafe memory.read(address + UInt64(done), into: rest) }
        }
    }

    private mutating func readPage(
        _ address: UInt64, _ bytes: UnsafeMutableRawBufferPointer
    ) throws(CaptureError) {
        if file == nil { file = try files.memory() }
        guard let start = bytes.baseAddress else { return }
        let number = file?.number ?? -1
        var done = 0
        while done < bytes.count {
            let count = unsafe ProcFiles.readMemory(
                number, start + done, bytes.count - done, address + UInt64(done))
            if count <= 0 { break }
            done += count
        }
        for index in done..<bytes.count { unsafe bytes[index] = 0 }
    }
}

/// Pages of zeros among pages that were read.
enum ZeroPages {
    private static let page = Int(BP_IMAGE_PAGE)
    /// Shorter stretches stay: a mapping of its own costs more than they do.
    private static let shortest = Int(MemoryPages.mergedGap) / page

    /// Moves the pages that stay together to the front. Answers which pages they were, in order.
    static func compact(_ bytes: UnsafeMutableRawBufferPointer) -> [Range<Int>] {
        let count = bytes.count / page
        var kept: [Range<Int>] = []
        var start = 0
        var index = 0
        while index < count {
            guard unsafe isZero(bytes, index) else {
                index += 1
                continue
            }
            var end = index + 1
            while end < count, unsafe isZero(bytes, end) { end += 1 }
            if end - index >= shortest || end - index == count {
                if start < index { kept.append(start..<index) }
                start = end
            }
            index = end
        }
        if start < count { kept.append(start..<count) }
        var target = 0
        guard let base = bytes.baseAddress else { return kept }
        for range in kept {
            let size = range.count * page
            if range.lowerBound * page != target {
                unsafe (base + target).copyMemory(
                    from: base + range.lowerBound * page, byteCount: size)
            }
            target += size
        }
        return kept
    }

    private static func isZero(_ bytes: UnsafeMutableRawBufferPointer, _ index: Int) -> Bool {
        let words = page / 8
        for word in 0..<words
        where unsafe bytes.loadUnaligned(fromByteOffset: index * page + word * 8, as: UInt64.self)
            != 0
        {
            return false
        }
        return true
    }
}
