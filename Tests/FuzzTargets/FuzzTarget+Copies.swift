import FileCopy

/// What the ends of a copy send each other.
extension FuzzTarget {
    static let copyTargets: [FuzzTarget] = [
        FuzzTarget(
            "copy-records",
            seeds: {
                [tree, answers, CopyRecord.giveUp.encoded]
            },
            run: { bytes in readCopy(bytes) })
    ]

    private static func name(_ text: String) -> EntryName { try! EntryName(Array(text.utf8)) }
    private static let time = FileTime(seconds: 1_700_000_000, nanoseconds: 5)

    private static let tree: [UInt8] =
        ([
            .directory(name("tree"), mode: 0o755, time: time),
            .file(number: 0, name("a"), mode: 0o644, time: time, byteCount: 5),
            .bytes(Array("hel".utf8)), .bytes(Array("lo".utf8)),
            .fileEnd(number: 0, isWhole: true, checksum: 7),
            .failure(CopyFailure(errorNumber: 2, sentence: "b: none")),
            .file(number: 1, name("..."), mode: 0o4755, time: time, byteCount: 1),
            .fileEnd(number: 1, isWhole: false, checksum: 0), .directoryEnd, .end,
        ] as [CopyRecord]).flatMap(\.encoded)

    private static let answers: [UInt8] =
        ([
            .barrier(1),
            .failure(CopyFailure(node: 3, file: 9, errorNumber: 13, sentence: "no\nentry")),
            .end,
        ] as [CopyRecord]).flatMap(\.encoded)

    /// In whatever pieces it comes: what was understood says the same when it is said again, and
    /// what follows the rules of a copy stays in the target.
    private static func readCopy(_ bytes: [UInt8]) -> String? {
        var reader = CopyRecordReader()
        var sequence = CopySequence()
        var isSequence = true
        var depth = 0
        for start in stride(from: 0, to: bytes.count, by: 13) {
            reader.add(Array(bytes[start..<min(bytes.count, start + 13)]))
            do throws(CopyFormatError) {
                while let record = try reader.next() {
                    if let fault = saidAgain(record) { return fault }
                    do throws(CopyFormatError) {
                        if isSequence { try sequence.check(record) }
                    } catch {
                        isSequence = false
                    }
                    guard isSequence else { continue }
                    if case .directory = record { depth += 1 }
                    if case .directoryEnd = record { depth -= 1 }
                    guard (0...CopyRecord.depthLimit).contains(depth) else {
                        return "a sequence leaves its target"
                    }
                }
            } catch {
                return "\(error)".isEmpty ? "an error without a sentence" : nil
            }
        }
        return nil
    }

    private static func saidAgain(_ record: CopyRecord) -> String? {
        switch record {
        case .directory(let name, _, _), .file(_, let name, _, _, _):
            guard !name.bytes.contains(UInt8(ascii: "/")), name.text != ".." else {
                return "a name that leads elsewhere"
            }
        default: break
        }
        var reader = CopyRecordReader()
        reader.add(record.encoded)
        guard let again = try? reader.next(), reader.isEmpty else {
            return "the encoded record does not decode"
        }
        // A damaged sentence may become longer than fits when it is made UTF-8.
        if case .failure = record { return nil }
        return again == record ? nil : "the encoded record decodes to another one"
    }
}
