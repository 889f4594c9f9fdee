import CRestore
import Testing

/// A node with another vDSO than the one that the program's C library knows, or with none to give.
@Suite(.enabled(if: Programs.clocks != nil, "no C compiler on PATH"))
struct VdsoTests {
    enum Kind: CaseIterable { case dynamic, isStatic }

    private func image(_ kind: Kind, _ name: String) throws -> (path: String, bytes: ImageBytes) {
        let program = kind == .dynamic ? Programs.clocks : Programs.clocksStatic
        let path = Workshop.folder + "/clocks-\(kind)-\(name).image"
        let outcome = Workshop.run([Workshop.tool, "capture", path, try #require(program)])
        #expect(outcome.status == 0, "\(outcome.output)")
        return (path, ImageBytes(bytes: Workshop.bytes(of: path)))
    }

    /// Runs the changed image by hand and by the restorer.
    private func run(
        _ image: ImageBytes, _ name: String, expecting vdso: String, with wrapper: [String] = []
    ) {
        let path = Workshop.write(image.bytes, to: name, mode: 0o755)
        for command in [[path], [Workshop.tool, "restore", path]] {
            let outcome = Workshop.run(wrapper + command)
            #expect(outcome.output == "clocks well\nvdso \(vdso)\n")
            #expect(outcome.status == 0)
        }
    }

    /// The stored vDSO, changed in a way that does not matter to the functions in it.
    private func othersVdso(_ image: ImageBytes) -> ImageBytes {
        image.changed { changed in
            let table = changed.header.vdso
            changed.bytes[Int(table.offset) + Int(table.count) - 1] ^= 1
        }
    }

    @Test(arguments: Kind.allCases) func theSameIsMappedInItsPlace(kind: Kind) throws {
        let image = try image(kind, "same")
        run(image.bytes, "vdso-same-\(kind).image", expecting: "there")
    }

    @Test(arguments: Kind.allCases) func anotherIsReachedByJumps(kind: Kind) throws {
        let image = try image(kind, "other")
        run(othersVdso(image.bytes), "vdso-other-\(kind).image", expecting: "elsewhere")
    }

    /// A kernel with fewer data pages before the code puts the code somewhere else.
    @Test(arguments: Kind.allCases) func anotherShape(kind: Kind) throws {
        let image = try image(kind, "shape").bytes
        let changed = image.changedHeader {
            $0.vvar_address += 8192
            $0.vvar_byte_count -= 8192
        }
        run(changed, "vdso-shape-\(kind).image", expecting: "elsewhere")
    }

    /// Names that no kernel has, beside ones that all have.
    @Test func aNameThatNobodyKnowsDoesNoHarm() throws {
        let image = try image(.dynamic, "names").bytes
        var names = 0
        let changed = image.changed { changed in
            let table = changed.header.vdso
            let range = Int(table.offset)..<(Int(table.offset) + Int(table.count))
            let prefix = Array("__vdso_".utf8)
            for place in range.dropLast(prefix.count)
            where Array(changed.bytes[place..<(place + prefix.count)]) == prefix {
                changed.bytes[place] = UInt8(ascii: "X")
                names += 1
            }
        }
        // Each function's other name, which is the same without the prefix, leads to it.
        #expect(names >= 5)
        run(changed, "vdso-names.image", expecting: "elsewhere")
    }

    @Test(arguments: Kind.allCases) func withoutOneTheFunctionsAreSystemCalls(kind: Kind) throws {
        let wrapper = try #require(Programs.noVdso)
        let probe = Workshop.run([wrapper, "/bin/true"])
        guard probe.status == 0 else {
            withKnownIssue("no seccomp here: \(probe.output)") { Issue.record() }
            return
        }
        let image = try image(kind, "none")
        run(image.bytes, "vdso-none-\(kind).image", expecting: "none", with: [wrapper])
    }
}
