import Glibc
import Testing

// Commands for files: copies and images.
extension ClusterTests.Options {
    private static func mode(_ path: String) -> mode_t {
        var status = stat()
        return stat(path, &status) == 0 ? status.st_mode & 0o7777 : 0
    }

    @Test func bpcp() throws {
        try TestCluster.with(nodes: 2) { cluster in
            let folder = cluster.folder + "/tmp"
            let source = TestFile.write("text\n", to: "\(folder)/source", mode: 0o640)
            mkdir("\(folder)/tree", 0o755)
            TestFile.write("inner\n", to: "\(folder)/tree/file")
            mkdir("\(folder)/target", 0o755)
            var table: [Case] = []
            for (index, option) in ["-p", "--preserve"].enumerated() {
                table.append(Case([option, source, "0:\(folder)/kept\(index)"], ""))
            }
            for (index, option) in ["-r", "--recursive"].enumerated() {
                table.append(Case([option, "\(folder)/tree", "1:\(folder)/copy\(index)"], ""))
            }
            for option in ["-d", "--directory"] {
                table += [
                    Case([option, source, "0:\(folder)/target"], ""),
                    Case(
                        [option, source, "0:\(folder)/kept0"], status: 1, "",
                        errors: "Not a directory"),
                ]
            }
            table += [
                Case(["--block", "4096", source, "0:\(folder)/target/blocks"], ""),
                Case(["--block", "1", source, "0:/x"], status: 64, "", errors: "--block: 4096 to"),
                Case(["\(folder)/tree", "0:\(folder)/x"], status: 1, "", errors: "tree"),
                Case([source], status: 64, "", errors: "A source and a target are needed"),
                Case(["-v"], "bpcp (bproc) 0.1\n"),
            ]
            try Self.check("bpcp", table + Self.aboutItself("bpcp"), on: cluster)
            for name in ["kept0", "kept1"] { #expect(Self.mode("\(folder)/\(name)") == 0o640) }
            for name in ["copy0", "copy1"] {
                #expect(TestFile.text("\(folder)/\(name)/file") == "inner\n")
            }
            for name in ["source", "blocks"] {
                #expect(TestFile.text("\(folder)/target/\(name)") == "text\n")
            }
            try Self.expectComplete("bpcp")
        }
    }

    @Test func bpimage() throws {
        try TestCluster.with(nodes: 1) { cluster in
            let image = cluster.folder + "/tmp/image"
            let other = cluster.folder + "/tmp/other"
            TestFile.write("no image", to: other)
            try Self.check(
                "bpimage",
                [
                    Case(["dump", "-o", image, "/bin/echo", "from an image"], ""),
                    Case(["dump", "--output", image, "/bin/echo", "from an image"], ""),
                    Case(["dump", "--at-exec", "-o", image + "2", "/bin/echo"], ""),
                    Case(["dump", "--level", "x86-64-v2", "-o", image + "3", "/bin/echo"], ""),
                    Case(
                        ["dump", "--level", "x86-64-v9", "-o", image + "4", "/bin/echo"],
                        status: 64, "", errors: "x86-64-v9"),
                    Case(["show", image], like: "(?s).+"),
                    Case(["show", "--json", image], like: #"(?s)\{.*\}\n"#),
                    Case(["show", "--verify", image], like: "(?s).*"),
                    Case(["show", "--header", image], like: "(?s).+"),
                    Case(["--verify", image, other], status: 1, like: "(?s).*", errors: "other"),
                ] + Self.aboutItself("bpimage"), on: cluster)
            try Self.check("/bin/sh", [Case(["-c", image], "from an image\n")], on: cluster)
            try Self.expectComplete("bpimage")
        }
    }
}
