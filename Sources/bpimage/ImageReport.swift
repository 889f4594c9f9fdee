import ProcessImage

/// What there is to say of an image, for people and for programs.
struct ImageReport {
    let file: String
    let header: ImageHeader

    private var storedByteCount: UInt64 { header.regions.reduce(0) { $0 + $1.dataByteCount } }

    /// When the process was caught.
    private var kind: (word: String, sentence: String) {
        switch (header.registerOrigin, header.hasStarted) {
        case (.waitingCaller, _): ("caller", "took its own image")
        case (.stoppedProgram, true): ("entry", "stopped at its entry, after the dynamic linker")
        case (.stoppedProgram, false): ("start", "stopped before its first instruction")
        }
    }

    func text(whole: Bool?, listsMappings: Bool) -> String {
        let missing = header.missingFeatures(on: .local)
        let needed = header.neededFeatures.names
        let memory = header.memoryByteCount
        var lines = [
            "\(file): process image, version \(ImageHeader.version), x86-64",
            "  program    \(printable(header.name)), \(kind.sentence)",
            "  file       \(header.totalByteCount) bytes, \(header.prefixByteCount) of them "
                + "header, code and tables",
            "  memory     \(memory) bytes in \(header.regions.count) mappings: "
                + "\(storedByteCount) stored, \(memory - storedByteCount) zero",
            "  cpu        " + (needed.isEmpty ? "any x86-64" : needed.joined(separator: " ")),
        ]
        if !missing.isEmpty {
            lines.append("  missing    " + missing.joined(separator: " ") + " (on this CPU)")
        }
        if header.needsProc { lines.append("  needs      /proc, for the script that it carries") }
        if header.hasRankSlot { lines.append("  rank       has a place in BPROC_RANK") }
        if let whole {
            lines.append(
                "  checksums  \(header.blockCount) blocks, \(whole ? "all well" : "damaged")")
        }
        if listsMappings { lines += mappingLines }
        return lines.joined(separator: "\n") + "\n"
    }

    private var mappingLines: [String] {
        ["  mappings   address, rights, stored and zero bytes"]
            + header.regions.map { region in
                let end = region.address + region.byteCount
                let zero = region.byteCount - region.dataByteCount
                return "    \(hexadecimal(region.address))-\(hexadecimal(end)) "
                    + "\(rights(region.protection)) \(padded(region.dataByteCount)) "
                    + "\(padded(zero))" + (region.isStack ? "  stack" : "")
            }
    }

    /// One object; all sizes are bytes.
    func json(whole: Bool?, listsMappings: Bool) -> String {
        var fields = [
            "\"file\":\(quoted(file))", "\"version\":\(ImageHeader.version)",
            "\"architecture\":\"x86-64\"", "\"name\":\(quoted(header.name))",
            "\"captured\":\"\(kind.word)\"", "\"total\":\(header.totalByteCount)",
            "\"prefix\":\(header.prefixByteCount)", "\"memory\":\(header.memoryByteCount)",
            "\"stored\":\(storedByteCount)",
            "\"zero\":\(header.memoryByteCount - storedByteCount)",
            "\"hash\":\"\(hexadecimal(header.prefixHash))\"",
            "\"features\":\(list(header.neededFeatures.names))",
            "\"missing\":\(list(header.missingFeatures(on: .local)))",
            "\"needs_proc\":\(header.needsProc)", "\"has_rank\":\(header.hasRankSlot)",
            "\"blocks\":\(header.blockCount)",
        ]
        if let whole { fields.append("\"whole\":\(whole)") }
        if listsMappings {
            let mappings = header.regions.map { region in
                "{\"address\":\"\(hexadecimal(region.address))\",\"bytes\":\(region.byteCount),"
                    + "\"rights\":\"\(rights(region.protection))\","
                    + "\"stored\":\(region.dataByteCount),\"stack\":\(region.isStack)}"
            }
            fields.append("\"mappings\":[" + mappings.joined(separator: ",") + "]")
        }
        return "{" + fields.joined(separator: ",") + "}"
    }

    private func rights(_ protection: UInt32) -> String {
        (protection & 1 != 0 ? "r" : "-") + (protection & 2 != 0 ? "w" : "-")
            + (protection & 4 != 0 ? "x" : "-")
    }

    private func hexadecimal(_ value: UInt64) -> String { String(value, radix: 16) }

    private func padded(_ value: UInt64) -> String {
        let digits = String(value)
        return String(repeating: " ", count: max(0, 12 - digits.count)) + digits
    }

    /// A name from a file goes to a terminal.
    private func printable(_ text: String) -> String {
        String(text.map { $0.isASCII && ($0.asciiValue ?? 0) < 32 ? "?" : $0 })
    }

    private func list(_ words: [String]) -> String {
        "[" + words.map { quoted($0) }.joined(separator: ",") + "]"
    }

    private func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": result += "\\" + String(scalar)
            case "\u{0}"..<" ":
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
