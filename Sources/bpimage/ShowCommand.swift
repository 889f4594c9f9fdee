import ArgumentParser
import CommandSupport
import ProcessImage

/// What an image's header says, and whether its bytes are whole.
struct ShowCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Show images and verify their checksums (the default).",
        discussion: "The exit status is 0 if every file is a whole image.")

    @Flag(help: "One object of JSON for each file.")
    var json = false
    @Flag(help: "Only what is wrong.")
    var verify = false
    @Flag(help: "Only the header: no mappings, and the data is not read.")
    var header = false
    @Argument(help: "The files.")
    var files: [String]

    func validate() throws {
        if verify && header { throw ValidationError("--verify and --header exclude each other.") }
        if verify && json { throw ValidationError("--verify and --json exclude each other.") }
        if files.isEmpty { throw ValidationError("no file") }
    }

    func run() throws {
        var areWhole = true
        for (index, file) in files.enumerated() {
            do throws(StoredImageError) {
                let image = try StoredImage(path: file)
                let report = ImageReport(file: file, header: image.header)
                if header {
                    show(report, index, whole: nil)
                    continue
                }
                do throws(StoredImageError) {
                    try image.verify()
                    show(report, index, whole: true)
                } catch {
                    show(report, index, whole: false)
                    throw error
                }
            } catch {
                areWhole = false
                StandardOutput.report("\(file): \(error)", command: "bpimage")
            }
        }
        if !areWhole { throw ArgumentParser.ExitCode(ExitStatus.failure) }
    }

    private func show(_ report: ImageReport, _ index: Int, whole: Bool?) {
        if verify { return }
        if json {
            StandardOutput.write(report.json(whole: whole, listsMappings: !header) + "\n")
        } else {
            let text = report.text(whole: whole, listsMappings: !header)
            StandardOutput.write(index == 0 ? text : "\n" + text)
        }
    }
}
