import CImageFormat
import CRestore
import CSystem
import System

/// Which pages of a stopped program have content.
struct MemoryPages: ~Copyable {
    private let pagemap: OwnedDescriptor
    private static let page = UInt64(BP_IMAGE_PAGE)

    /// Runs closer together than this are one.
    static let mergedGap = UInt64(BP_PAGEMAP_GAP_PAGES) * page

    /// nil where the kernel scans by itself. Otherwise where the mappings begin that have pages at
    /// all: a terabyte that nobody has touched has two gigabytes of page map.
    private let touched: Set<UInt64>?

    init(of files: ProcFiles, usesScan: Bool) throws(CaptureError) {
        let file = try files.open("pagemap")
        var walked: UInt64 = 0
        var piece = bp_page_range()
        let probe = unsafe bp_pagemap_scan(file.number, 0, Self.page, &piece, 1, &walked)
        // ENOTTY and EINVAL: before Linux 6.7.
        let scans = usesScan && probe != -25 && probe != -22
        touched = scans ? nil : try MapLine.touchedStarts(of: files)
        pagemap = file
    }

    /// Ranges to read, ascending. Of a file mapping everything: pages that nobody has touched yet
    /// are not present, but have content. Except where nothing can be read: linkers leave such gaps
    /// between segments.
    borrowing func ranges(of line: MapLine) throws(CaptureError) -> [Range<UInt64>] {
        if line.isFile && line.protection != 0 { return [line.start..<line.end] }
        if let touched { return touched.contains(line.start) ? try rangesByReading(line) : [] }
        var found: [Range<UInt64>] = []
        var cursor = line.start
        var pieces = [bp_page_range](repeating: bp_page_range(), count: 256)
        while cursor < line.end {
            var walked: UInt64 = 0
            let count = unsafe bp_pagemap_scan(
                pagemap.number, cursor, line.end, &pieces, pieces.count, &walked)
            let got = try require("scan page map", count)
            for piece in pieces[..<got] { Self.add(piece.start..<piece.end, to: &found) }
            if walked <= cursor { break }
            cursor = walked
        }
        return found
    }

    /// The same before Linux 6.7, from the entries of the page map.
    private borrowing func rangesByReading(_ line: MapLine) throws(CaptureError) -> [Range<UInt64>]
    {
        var found: [Range<UInt64>] = []
        var entries = [UInt64](repeating: 0, count: 8192)
        var cursor = line.start
        while cursor < line.end {
            let pages = min(UInt64(entries.count), (line.end - cursor) / Self.page)
            let count = unsafe bp_image_read_at(
                pagemap.number, &entries, Int(pages) * 8, cursor / Self.page * 8)
            let got = try require("read page map", count) / 8
            if got == 0 { break }
            for index in 0..<got where bp_pagemap_has_content(entries[index]) != 0 {
                let start = cursor + UInt64(index) * Self.page
                Self.add(start..<(start + Self.page), to: &found)
            }
            cursor += UInt64(got) * Self.page
        }
        return found
    }

    private static func add(_ range: Range<UInt64>, to ranges: inout [Range<UInt64>]) {
        if let last = ranges.last, range.lowerBound - last.upperBound < mergedGap {
            ranges[ranges.count - 1] = last.lowerBound..<range.upperBound
        } else {
            ranges.append(range)
        }
    }
}
