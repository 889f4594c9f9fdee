import CRestore
import CXXHash
import Glibc
import ProcessImage
import System

/// An image as bytes that a test can damage.
struct ImageBytes {
    var bytes: [UInt8]

    static let headerOffset = Int(BP_IMAGE_HEADER_OFFSET)

    /// A real image, of a small static program or, without a compiler, of /bin/true.
    static let original: ImageBytes = {
        let program = Programs.insideStatic ?? "/bin/true"
        guard
            let image = try? ProgramCapture.image(
                command: program, arguments: [program], environment: Workshop.environment)
        else { preconditionFailure("no image of \(program)") }
        return ImageBytes(bytes: Workshop.bytes(of: image.descriptor.number))
    }()

    var header: bp_image_header {
        get {
            bytes.withUnsafeBytes {
                $0.loadUnaligned(fromByteOffset: Self.headerOffset, as: bp_image_header.self)
            }
        }
        set { store(newValue, at: Self.headerOffset) }
    }

    var regions: [bp_image_region] {
        get { table(header.regions) }
        set { setTable(newValue, at: header.regions) }
    }

    var runs: [bp_image_run] {
        get { table(header.runs) }
        set { setTable(newValue, at: header.runs) }
    }

    mutating func store<Value>(_ value: Value, at offset: Int) {
        withUnsafeBytes(of: value) { source in
            bytes.withUnsafeMutableBytes { target in
                let room = UnsafeMutableRawBufferPointer(rebasing: target[offset...])
                room.copyMemory(
                    from: UnsafeRawBufferPointer(rebasing: source[..<MemoryLayout<Value>.size]))
            }
        }
    }

    private func table<Element>(_ table: bp_image_table) -> [Element] {
        bytes.withUnsafeBytes { bytes in
            (0..<Int(table.count)).map {
                bytes.loadUnaligned(
                    fromByteOffset: Int(table.offset) + $0 * MemoryLayout<Element>.size,
                    as: Element.self)
            }
        }
    }

    private mutating func setTable<Element>(_ elements: [Element], at table: bp_image_table) {
        for (index, element) in elements.enumerated() {
            store(element, at: Int(table.offset) + index * MemoryLayout<Element>.size)
        }
    }

    /// Writes the prefix checksum that fits the bytes, so that a test reaches what lies behind it.
    mutating func seal() {
        header.prefix_hash = 0
        let count = min(Int(clamping: header.prefix_byte_count), bytes.count)
        header.prefix_hash = bytes.withUnsafeBytes { XXH3_64bits($0.baseAddress, count) }
    }

    @discardableResult
    func parse() throws(ImageError) -> ImageHeader {
        let span = bytes.span.bytes
        return try ImageHeader.parse(prefix: span)
    }

    func verify(_ header: ImageHeader) throws(ImageError) {
        let span = bytes.span.bytes
        try header.verify(image: span)
    }

    /// The error that parsing gives, if any.
    var error: ImageError? {
        do {
            try parse()
            return nil
        } catch { return error }
    }

    /// A copy, changed and with a checksum that fits.
    func changed(_ change: (inout ImageBytes) -> Void) -> ImageBytes {
        var copy = self
        change(&copy)
        copy.seal()
        return copy
    }

    func changedHeader(_ change: (inout bp_image_header) -> Void) -> ImageBytes {
        changed { change(&$0.header) }
    }
}

/// Small numbers that repeat for a seed.
struct Generator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        // SplitMix64.
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
