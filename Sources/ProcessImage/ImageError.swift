/// Why bytes are not an image that may be run here: each case names the numbers that are wrong.
public enum ImageError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Fewer bytes than the part that was asked for needs.
    case cutShort(part: String, byteCount: Int, needed: Int)
    case notAnImage(magic: UInt64)
    case unknownVersion(UInt32, known: UInt32)
    case otherArchitecture(UInt32, here: UInt32)
    /// A length, offset or count outside of what it may be.
    case outOfBounds(field: String, value: UInt64, lowest: UInt64, highest: UInt64)
    case notPageAligned(field: String, value: UInt64)
    case prefixChecksum(found: UInt64, expected: UInt64)
    /// A block of the data part, counted from 0, and where in the file it lies.
    case blockChecksum(block: Int, fileOffset: Int, found: UInt64, expected: UInt64)
    case regionsOverlap(UInt64, UInt64)
    /// A region of the program lies where the restore code runs, or where the vDSO goes.
    case regionOverlaps(UInt64, what: String, at: UInt64)
    /// The image's own stub would lie on the restorer that maps it.
    case stubOverlapsRestorer(UInt64)
    case bytesByReference(region: UInt64)
    case runOutsideRegion(run: UInt64, region: UInt64)
    case runsOverlap(UInt64, UInt64)
    /// A place in the initial stack (frame, content, slot) that is not inside the stack region.
    case outsideStack(field: String, address: UInt64)
    case noStack
    case badName

    public var description: String {
        switch self {
        case .cutShort(let part, let byteCount, let needed):
            "image is cut short: its \(part) needs \(needed) bytes, \(byteCount) are here"
        case .notAnImage(let magic):
            "not a process image: its magic number is \(hex(magic))"
        case .unknownVersion(let version, let known):
            "image has format version \(version), this program knows version \(known)"
        case .otherArchitecture(let architecture, let here):
            "image is for CPU architecture \(architecture), this machine is \(here) (4 is x86-64)"
        case .outOfBounds(let field, let value, let lowest, let highest):
            "image is damaged: \(field) is \(value), not between \(lowest) and \(highest)"
        case .notPageAligned(let field, let value):
            "image is damaged: \(field) is \(hex(value)), not a multiple of 4096"
        case .prefixChecksum(let found, let expected):
            "image is damaged: checksum of header and tables is \(hex(found)), not \(hex(expected))"
        case .blockChecksum(let block, let fileOffset, let found, let expected):
            "image is damaged: checksum of block \(block) at byte \(fileOffset) is \(hex(found)), "
                + "not \(hex(expected))"
        case .regionsOverlap(let first, let second):
            "image overlaps itself: region \(hex(second)) begins inside region \(hex(first))"
        case .regionOverlaps(let region, let what, let address):
            "image overlaps its restore code: region \(hex(region)) meets \(what) at "
                + hex(address)
        case .stubOverlapsRestorer(let address):
            "image wants its stub at \(hex(address)), where the restorer runs"
        case .bytesByReference(let region):
            "region \(hex(region)) has its bytes by reference, which this version cannot resolve"
        case .runOutsideRegion(let run, let region):
            "image is damaged: data at \(hex(run)) lies outside of its region \(hex(region))"
        case .runsOverlap(let first, let second):
            "image overlaps itself: data at \(hex(second)) begins inside data at \(hex(first))"
        case .outsideStack(let field, let address):
            "image is damaged: \(field) at \(hex(address)) lies outside of the stack"
        case .noStack:
            "image is damaged: it has no stack region, or more than one"
        case .badName:
            "image is damaged: its process name does not end"
        }
    }
}

/// A number as people write addresses.
func hex(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }
