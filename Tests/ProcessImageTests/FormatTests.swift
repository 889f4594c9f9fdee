import CRestore
import CXXHash
import ProcessImage
import Testing

@Suite struct FormatTests {
    let image = ImageBytes.original

    @Test func aRealImageIsAccepted() throws {
        let header = try image.parse()
        #expect(header.totalByteCount == image.bytes.count)
        #expect(header.prefixByteCount % 4096 == 0)
        let start = image.bytes.span.bytes.extracting(first: ImageHeader.peekByteCount)
        let prefixByteCount = try ImageHeader.prefixByteCount(of: start)
        let totalByteCount = try ImageHeader.totalByteCount(of: start)
        #expect(prefixByteCount == header.prefixByteCount)
        #expect(totalByteCount == header.totalByteCount)
        try image.verify(header)
        #expect(header.regions.filter(\.isStack).count == 1)
        #expect(header.hasRankSlot && !header.needsProc)
        #expect(header.registerOrigin == .stoppedProgram)
    }

    @Test func regionHashesAreOfTheirBytes() throws {
        let header = try image.parse()
        for region in header.regions where region.dataByteCount > 0 {
            let start = Int(region.fileOffset)
            let hash = image.bytes.withUnsafeBytes {
                XXH3_64bits($0.baseAddress! + start, Int(region.dataByteCount))
            }
            #expect(hash == region.hash)
        }
        #expect(
            header.regions.reduce(0) { $0 + Int($1.dataByteCount) }
                == header.totalByteCount - header.prefixByteCount)
    }

    @Test func everyShorterPrefixIsRefused() throws {
        let header = try image.parse()
        for count in stride(from: 0, to: header.prefixByteCount, by: 97) {
            let cut = ImageBytes(bytes: Array(image.bytes[..<count]))
            guard case .cutShort(_, let found, let needed) = cut.error else {
                Issue.record("\(count) bytes: \(String(describing: cut.error))")
                continue
            }
            #expect(found == count && needed > count)
        }
        let cut = ImageBytes(bytes: Array(image.bytes.dropLast()))
        #expect(throws: ImageError.self) { try cut.verify(header) }
    }

    @Test func everyFlippedBitOfThePrefixIsNoticed() throws {
        let count = try image.parse().prefixByteCount
        var generator = Generator(state: 1)
        for _ in 0..<2000 {
            var copy = image
            copy.bytes[Int.random(in: 0..<count, using: &generator)] ^=
                1 << UInt8.random(in: 0..<8, using: &generator)
            #expect(copy.error != nil)
        }
    }

    @Test func aFlippedBitOfTheDataNamesItsBlock() throws {
        let header = try image.parse()
        var generator = Generator(state: 2)
        for _ in 0..<20 {
            var copy = image
            let at = Int.random(
                in: header.prefixByteCount..<header.totalByteCount, using: &generator)
            copy.bytes[at] ^= 0x10
            let expected = (at - header.prefixByteCount) / header.blockByteCount
            do {
                try copy.verify(header)
                Issue.record("byte \(at) was not noticed")
            } catch .blockChecksum(let block, let offset, _, _) {
                #expect(block == expected)
                #expect(offset == header.prefixByteCount + expected * header.blockByteCount)
            } catch {
                Issue.record("\(error)")
            }
        }
    }

    @Test func identityIsChecked() {
        #expect(image.changedHeader { $0.magic = 7 }.error == .notAnImage(magic: 7))
        #expect(image.changedHeader { $0.version = 99 }.error == .unknownVersion(99, known: 1))
        #expect(
            image.changedHeader { $0.architecture = 5 }.error == .otherArchitecture(5, here: 4))
        let sentence = ImageError.otherArchitecture(5, here: 4).description
        #expect(sentence.contains("5") && sentence.contains("4"))
    }

    @Test func lyingLengthsAreRefused() {
        let lies: [(inout bp_image_header) -> Void] = [
            { $0.prefix_byte_count = 0 },
            { $0.prefix_byte_count += 1 },
            { $0.prefix_byte_count = .max & ~4095 },
            { $0.total_byte_count = 4096 },
            { $0.total_byte_count += 4096 },
            { $0.total_byte_count = 1 << 50 },
            { $0.checksum_block_byte_count = 0 },
            { $0.checksum_block_byte_count = 1 << 30 },
            { $0.code_byte_count = 0 },
            { $0.code_byte_count = $0.prefix_byte_count },
            { $0.scratch_byte_count = 4096 },
            { $0.stub_entry = 0 },
            { $0.stub_entry = .max },
            { $0.base_address = 0 },
            { $0.base_address = 0x7fff_ffff_e000 },
            { $0.regions.count = .max },
            { $0.regions.offset = .max - 7 },
            { $0.regions.offset = 0 },
            { $0.regions.element_byte_count = 1 },
            { $0.runs.count += 1 },
            { $0.frame.count -= 1 },
            { $0.auxv.count = 0 },
            { $0.stack.count = .max },
            { $0.vdso_byte_count += 4096 },
            { $0.files.count = 9 },
            { $0.slots.offset += 1 },
            { $0.checksums.count -= 1 },
            { $0.register_origin = 2 },
            { $0.stack_address = 0x1000_0000 },
            { $0.frame_address += 8 },
            { $0.frame_address = 0x1000_0000 },
            { $0.rseq_address = 0x1000_0000 },
            { $0.thread_id_address = $0.base_address },
            { $0.vdso_address = .max & ~4095 },
        ]
        for (index, lie) in lies.enumerated() {
            #expect(image.changedHeader(lie).error != nil, "lie \(index)")
        }
    }

    @Test func overlapsAreRefused() throws {
        let regions = image.regions
        let home = image.header.base_address
        var first = image.changed { $0.regions[1].address = regions[0].address }
        #expect(first.error == .regionsOverlap(regions[0].address, regions[0].address))
        first = image.changed { $0.regions[0].byte_count = regions[1].address }
        #expect(first.error != nil)
        #expect(
            image.changed {
                $0.regions[0].address = home
                $0.regions[0].run_count = 0
            }.error == .regionOverlaps(home, what: "the stub", at: home))
        let vvar = image.header.vvar_address
        let last = regions.count - 1
        #expect(
            image.changed { $0.regions[last].byte_count += vvar &+ 4096 &- regions[last].address }
                .error != nil)
        #expect(
            image.changedHeader { $0.base_address = BP_RESTORER_ADDRESS - 4096 }.error
                == .stubOverlapsRestorer(BP_RESTORER_ADDRESS - 4096))
        #expect(
            image.changed { $0.regions[0].bytes = 1 }.error
                == .bytesByReference(region: regions[0].address))
    }

    @Test func damagedRunsAreRefused() throws {
        let runs = image.runs
        try #require(runs.count >= 2)
        let changes: [(inout bp_image_run) -> Void] = [
            { $0.address = 0 }, { $0.address += 1 }, { $0.address += $0.byte_count },
            { $0.byte_count = 0 }, { $0.byte_count += 1 }, { $0.byte_count = .max & ~4095 },
            { $0.file_offset = 0 }, { $0.file_offset += 4096 }, { $0.file_offset = .max },
        ]
        for (index, change) in changes.enumerated() {
            #expect(image.changed { change(&$0.runs[0]) }.error != nil, "change \(index)")
        }
        #expect(image.changed { $0.regions[0].first_run = 1 }.error != nil)
        #expect(image.changed { $0.regions[0].run_count = .max }.error != nil)
    }

    /// Whatever bytes come: an error or a header, never a crash. The checksum is made to fit, so
    /// the damage reaches the checks behind it.
    @Test func arbitraryDamageNeverCrashes() throws {
        let prefix = try image.parse().prefixByteCount
        let small = ImageBytes(bytes: Array(image.bytes[..<prefix]))
        let fixed =
            ImageBytes.headerOffset..<(ImageBytes.headerOffset + MemoryLayout<bp_image_header>.size)
        let tables = Int(small.header.code_byte_count)..<prefix
        var refused = 0
        for seed in 0..<3000 as Range<UInt64> {
            var generator = Generator(state: seed)
            var copy = small
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                let range = Bool.random(using: &generator) ? fixed : tables
                let at = Int.random(in: range, using: &generator)
                switch Int.random(in: 0..<3, using: &generator) {
                case 0: copy.bytes[at] = UInt8.random(in: 0...255, using: &generator)
                case 1: copy.bytes[at] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
                default:
                    let edges: [UInt64] = [0, 1, 4095, 4096, 1 << 31, 1 << 32, 1 << 47, .max]
                    let word = at & ~7
                    copy.store(edges.randomElement(using: &generator)!, at: min(word, prefix - 8))
                }
            }
            copy.seal()
            if copy.error != nil { refused += 1 }
        }
        #expect(refused > 1000)
    }

    @Test func missingFeaturesHaveNames() throws {
        var local = CPUFeatures.local
        let lacking = image.changedHeader {
            $0.features = (1 << 28, 1 << 5, 0, 0, 0, 0, 0, 1 << 3)
        }
        let header = try lacking.parse()
        local.words.0 &= ~(1 << 28)
        local.words.1 &= ~(1 << 5)
        #expect(header.missingFeatures(on: local) == ["avx", "avx2", "word7.bit3"])
        #expect(try image.parse().missingFeatures(on: .none) == [])
        let dynamic = try ProgramCapture.image(
            command: "/bin/ls", arguments: ["ls"], environment: [] as [String])
        let bytes = ImageBytes(bytes: Workshop.bytes(of: dynamic.descriptor.number))
        let moved = try bytes.parse()
        #expect(moved.hasStarted)
        #expect(moved.missingFeatures(on: .local) == [])
        #expect(moved.missingFeatures(on: .none) == CPUFeatures.local.relevantToCode.names)
    }

    @Test func anImageForAnotherCPUSaysSo() throws {
        let lacking = image.changedHeader { $0.features.7 = 1 }
        let path = Workshop.write(lacking.bytes, to: "other-cpu.image", mode: 0o755)
        let direct = Workshop.run([path])
        #expect(direct.status == 100 + Int32(BP_STEP_CPU.rawValue))
        #expect(direct.output.contains("not restored"))
        let restored = Workshop.run([Workshop.tool, "restore", path])
        #expect(restored.status == 123)
        #expect(restored.output.contains("word7.bit0"))
    }

    @Test func anImageFileThatIsTooShortIsNotEntered() throws {
        let header = try image.parse()
        let path = Workshop.write(
            Array(image.bytes[..<(header.prefixByteCount + 4096)]), to: "short.image", mode: 0o755)
        #expect(Workshop.run([path]).status == 100 + Int32(BP_STEP_SIZE.rawValue))
    }

    private func ratio(_ bytes: [UInt8]) -> Double {
        let span = bytes.span.bytes
        return CompressionSample.ratio(of: span)
    }

    @Test func compressionSampleTellsTextFromNoise() {
        var generator = Generator(state: 3)
        let noise = (0..<100_000).map { _ in UInt8.random(in: 0...255, using: &generator) }
        let text = Array(
            String(repeating: "a line of text that repeats itself\n", count: 3000).utf8)
        #expect(ratio(noise) > 0.99)
        #expect(ratio(text) < 0.1)
        #expect(ratio([]) == 1)
        #expect(ratio(Array(noise[..<100])) > 0.9)
    }
}
