import Glibc
import ProcessImage
import Testing

/// The restore code and the writer of a copy's blocks are copied out of the executable: nothing in
/// them may refer to anything outside.
@Suite struct BlobTests {
    private static func objects(of room: String) -> [String] {
        let folder = Workshop.buildFolder + "/\(room).build"
        guard let directory = opendir(folder) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name.hasSuffix(".o") { names.append(folder + "/" + name) }
        }
        return names
    }

    @Test(.enabled(if: Workshop.find("readelf") != nil, "no readelf on PATH"))
    func restoreCodeRefersToNothingOutside() throws {
        #expect(Self.objects(of: "CRestore").count >= 5)
        try Self.expectNothingOutside(of: "bp_restore", in: "CRestore")
    }

    @Test(.enabled(if: Workshop.find("readelf") != nil, "no readelf on PATH"))
    func blockWriterRefersToNothingOutside() throws {
        try Self.expectNothingOutside(of: "bp_block", in: "CBlockWriter")
    }

    private static func expectNothingOutside(of section: String, in room: String) throws {
        let readelf = try #require(Workshop.find("readelf"))
        let objects = objects(of: room)
        var defined: Set<String> = []
        var wanted: Set<String> = []
        for object in objects {
            let sections = Workshop.run([readelf, "-SW", object]).output
            var blob: Set<String> = []
            for line in sections.split(separator: "\n") where line.contains(" \(section) ") {
                // "[ 3] bp_restore ..." or "[13] bp_block ..."
                let number = line.drop { $0 == " " || $0 == "[" }.prefix { $0.isNumber }
                blob.insert(String(number))
            }
            for line in Workshop.run([readelf, "-sW", object]).output.split(separator: "\n") {
                let words = line.split(separator: " ")
                guard words.count >= 8, blob.contains(String(words[6])) else { continue }
                defined.insert(String(words[7]))
            }
            var isInside = false
            for line in Workshop.run([readelf, "-rW", object]).output.split(separator: "\n") {
                if line.hasPrefix("Relocation section") {
                    isInside = line.contains("'.rela\(section)'")
                    continue
                }
                let words = line.split(separator: " ")
                guard isInside, words.count >= 5, words[2].hasPrefix("R_X86_64") else { continue }
                #expect(words[2] == "R_X86_64_PC32" || words[2] == "R_X86_64_PLT32", "\(line)")
                wanted.insert(String(words[4]))
            }
        }
        #expect(!wanted.isEmpty)
        let outside = wanted.subtracting(defined).subtracting([section])
        #expect(outside.isEmpty, "\(outside)")
    }
}
