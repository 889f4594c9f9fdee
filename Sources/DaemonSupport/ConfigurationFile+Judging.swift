public import ArgumentParser

// What is wrong with a file. The options' own parser judges; only where its complaint belongs is
// found here.
extension ConfigurationFile {
    /// Every mistake of the file, in its order.
    ///
    /// The parser stops at the first thing that it does not like. The argument that it complains of
    /// is the last one of a beginning of the file that brings the same complaint, where the
    /// beginning without it does not; without it, the rest is judged anew.
    /// - Parameter rest: the arguments that follow those of the file.
    public func mistakes(
        for command: any ParsableCommand.Type, before rest: [String]
    ) -> [Mistake] {
        var mistakes: [Mistake]
        var units: [Unit]
        do throws(Problem) {
            (units, mistakes) = try self.units(for: command)
        } catch {
            return error.mistakes
        }
        func complaint(_ count: Int) -> String? {
            Self.complaint(of: command, units[..<count].map(\.argument) + rest)
        }
        while let sentence = complaint(units.count) {
            guard complaint(0) != sentence else {
                mistakes.append(mistake(sentence, at: nil))
                break
            }
            var without = 0
            var with = units.count
            while with - without > 1 {
                let middle = (without + with) / 2
                if complaint(middle) == sentence { with = middle } else { without = middle }
            }
            mistakes.append(mistake(sentence, at: units[with - 1].place))
            units.remove(at: with - 1)
        }
        return mistakes.sorted { ($0.line, $0.column) < ($1.line, $1.column) }
    }

    private static func complaint(
        of command: any ParsableCommand.Type, _ arguments: [String]
    ) -> String? {
        do {
            _ = try command.parse(arguments)
            return nil
        } catch {
            // Who asks for help or the version complains of nothing.
            return command.exitCode(for: error) == .success ? nil : command.message(for: error)
        }
    }

    /// Why the decoder has refused a text.
    static func mistake(for error: any Error, in text: String, path: String) -> Mistake {
        guard let error = error as? DecodingError else {
            return Mistake(path: path, line: 0, column: 0, sentence: "\(error)")
        }
        guard case .dataCorrupted(let context) = error else {
            return Mistake(
                path: path, line: 1, column: 1,
                sentence: "a configuration is one object: { key: value }")
        }
        let fault = SyntaxFault(in: text)
        return Mistake(
            path: path, line: fault?.place.line ?? 0, column: fault?.place.column ?? 0,
            sentence: "not JSON5: \(fault?.sentence ?? context.debugDescription)")
    }
}
