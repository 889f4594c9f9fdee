/// The first line of a `#!` script, read as the kernel reads it (fs/binfmt_script.c): up to 255
/// bytes, the interpreter, and everything behind it as one argument.
struct ScriptLine: Equatable {
    let interpreter: [UInt8]
    let argument: [UInt8]?

    enum Problem: Error, Equatable {
        case noInterpreter
        case lineTooLong
    }

    static let longest = 255

    /// nil if these are not the first bytes of a script.
    init?(_ start: [UInt8]) throws(Problem) {
        guard start.starts(with: [0x23, 0x21]) else { return nil }  // "#!"
        let head = start.prefix(Self.longest)
        let line: ArraySlice<UInt8>
        if let end = head.firstIndex(of: 10) {
            line = head[2..<end]
        } else {
            // A name cut off at the end of the buffer would be another name.
            guard start.count < Self.longest else { throw .lineTooLong }
            line = head[2...]
        }
        let isBlank = { (byte: UInt8) in byte == 32 || byte == 9 }
        var rest = line.drop(while: isBlank)
        while let last = rest.last, isBlank(last) { rest = rest.dropLast() }
        let name = rest.prefix { !isBlank($0) && $0 != 0 }
        guard !name.isEmpty else { throw .noInterpreter }
        interpreter = Array(name)
        let behind = rest.dropFirst(name.count).drop(while: isBlank)
        argument = behind.isEmpty ? nil : Array(behind)
    }
}
