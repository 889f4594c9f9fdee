/// Whether records follow each other as a reader of trees sends them. They may come from a node
/// that lies.
public struct CopySequence: Sendable {
    private var depth = 0
    private var nextFile: UInt32 = 0
    private var file: (number: UInt32, left: UInt64)?

    public init() {}

    public mutating func check(_ record: CopyRecord) throws(CopyFormatError) {
        switch record {
        case .directory:
            guard file == nil, depth < CopyRecord.depthLimit else { throw .badBody(kind: 1) }
            depth += 1
        case .directoryEnd:
            guard file == nil, depth > 0 else { throw .badBody(kind: 2) }
            depth -= 1
        case .file(let number, _, _, _, let byteCount):
            guard file == nil, number == nextFile, number < .max - 1 else {
                throw .badBody(kind: 3)
            }
            nextFile += 1
            file = (number, byteCount)
        case .bytes(let bytes):
            guard let open = file, open.left >= UInt64(bytes.count) else {
                throw .badBody(kind: 4)
            }
            file = (open.number, open.left - UInt64(bytes.count))
        case .fileEnd(let number, let isWhole, _):
            guard let open = file, open.number == number, open.left == 0 || !isWhole else {
                throw .badBody(kind: 5)
            }
            file = nil
        case .failure: break
        case .barrier: throw .badBody(kind: 7)
        case .end:
            guard file == nil, depth == 0 else { throw .badBody(kind: 8) }
        case .giveUp: throw .badBody(kind: 9)
        }
    }
}
