import SimulatedCluster

/// Damages inputs in the ways that break parsers: flipped bits, cut and grown ends, pieces of other
/// inputs, and integers at the edges of their range.
struct Mutator {
    private var generator: SeededGenerator
    static let byteLimit = 1 << 18

    init(seed: UInt64) {
        // Neighbouring seeds of a linear counter must not share their stream.
        var mixer = SeededGenerator(seed: seed)
        generator = SeededGenerator(seed: mixer.next())
    }

    private mutating func number(below limit: Int) -> Int {
        Int(generator.next() % UInt64(max(1, limit)))
    }

    mutating func mutated(_ corpus: [[UInt8]]) -> [UInt8] {
        guard !corpus.isEmpty else { return random(upTo: 64) }
        var bytes = corpus[number(below: corpus.count)]
        for _ in 0..<(1 << number(below: 4)) { mutate(&bytes, corpus: corpus) }
        if bytes.count > Self.byteLimit { bytes.removeLast(bytes.count - Self.byteLimit) }
        return bytes
    }

    private mutating func random(upTo limit: Int) -> [UInt8] {
        (0..<number(below: limit)).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
    }

    private mutating func mutate(_ bytes: inout [UInt8], corpus: [[UInt8]]) {
        let place = number(below: bytes.count)
        switch number(below: 12) {
        case 0 where !bytes.isEmpty: bytes[place] ^= 1 << UInt8(number(below: 8))
        case 1 where !bytes.isEmpty: bytes[place] = UInt8(truncatingIfNeeded: generator.next())
        case 2: bytes.removeLast(bytes.count - min(bytes.count, place))
        case 3: bytes += random(upTo: 64)
        case 4:
            let other = corpus[number(below: corpus.count)]
            let start = number(below: other.count)
            bytes = Array(bytes[..<min(place, bytes.count)]) + other[min(start, other.count)...]
        case 5:
            let end = min(bytes.count, place + number(below: 32))
            if place < end { bytes.removeSubrange(place..<end) }
        case 6:
            let end = min(bytes.count, place + number(below: 64))
            if place < end { bytes.insert(contentsOf: bytes[place..<end], at: place) }
        case 7: nudge(&bytes)
        default: setExtreme(&bytes)
        }
    }

    /// A place where a field of `width` bytes may lie: mostly an aligned one.
    private mutating func place(width: Int, in bytes: [UInt8]) -> Int? {
        guard bytes.count >= width else { return nil }
        let place = number(below: bytes.count - width + 1)
        return number(below: 4) == 0 ? place : place / width * width
    }

    private mutating func setExtreme(_ bytes: inout [UInt8]) {
        let width = [1, 2, 4, 4, 8, 8][number(below: 6)]
        guard let place = place(width: width, in: bytes) else { return }
        let shift = UInt64(number(below: 64))
        let small = UInt64(number(below: 40))
        let value: UInt64 =
            switch number(below: 8) {
            case 0: 0
            case 1: .max
            case 2: .max - small
            case 3: 1 << shift
            case 4: (1 << shift) &- 1
            case 5: UInt64(Int64.max) &+ small
            case 6: small
            default: small << 12
            }
        for index in 0..<width {
            bytes[place + index] = UInt8(truncatingIfNeeded: value >> UInt64(8 * index))
        }
    }

    /// Adds or takes a little, so that a count is wrong by one rather than by a world.
    private mutating func nudge(_ bytes: inout [UInt8]) {
        let width = [2, 4, 8][number(below: 3)]
        guard let place = place(width: width, in: bytes) else { return }
        var value: UInt64 = 0
        for index in 0..<width { value |= UInt64(bytes[place + index]) << UInt64(8 * index) }
        let step = UInt64([1, 2, 8, 4096][number(below: 4)])
        value = number(below: 2) == 0 ? value &+ step : value &- step
        for index in 0..<width {
            bytes[place + index] = UInt8(truncatingIfNeeded: value >> UInt64(8 * index))
        }
    }
}
