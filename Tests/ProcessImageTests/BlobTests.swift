import Glibc
import ProcessImage
import Testing

/// The restore code is copied out of the executable: nothing in it may refer to anything outside of
/// it.
@Suite struct BlobTests {
    private static let objects: [String] = {
        let folder = Workshop.buildFolder + "/CRestore.build"
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
    }()

    @Test(.enabled(if: Workshop.find("readelf") != nil, "no readelf on PATH"))
    func refersToNothingOutside() throws {
        let readelf = try #require(Workshop.find("readelf"))
        #expect(Self.objects.count >= 5)
        var defined: Set<String> = []
        var wanted: Set<String> = []
        for object in Self.objects {
            let sections = Workshop.run([readelf, "-SW", object]).output
            var blob: Set<String> = []
            for line in sections.split(separator: "\n") where line.contains(" bp_restore ") {
                // "[ 3] bp_restore ..." or "[13] bp_restore ..."
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
                    isInside = line.contains("'.relabp_restore'")
                    continue
                }
                let words = line.split(separator: " ")
                guard isInside, words.count >= 5, words[2].hasPrefix("R_X86_64") else { continue }
                #expect(words[2] == "R_X86_64_PC32" || words[2] == "R_X86_64_PLT32", "\(line)")
                wanted.insert(String(words[4]))
            }
        }
        #expect(!wanted.isEmpty)
        let outside = wanted.subtracting(defined).subtracting(["bp_restore"])
        #expect(outside.isEmpty, "\(outside)")
    }
}
