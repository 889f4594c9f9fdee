import Foundation
import Testing

/// The public headers, as C99 and C++ programs see them.
@Suite(.enabled(if: Toolchain.hasCompilers, "needs /usr/bin/cc and /usr/bin/c++"))
struct InterfaceTests {
    static let source = """
        #include <stddef.h>
        #include <sys/bproc.h>
        #include <sys/bproc_job.h>
        #define CHECK(name, condition) typedef char check_##name[(condition) ? 1 : -1]
        CHECK(info, sizeof(struct bproc_node_info_t) == 48);
        CHECK(info_address, offsetof(struct bproc_node_info_t, addr) == 32);
        CHECK(set, sizeof(struct bproc_node_set_t) == 16);
        CHECK(io, sizeof(struct bproc_io_t) == 280);
        CHECK(io_union, offsetof(struct bproc_io_t, d) == 8);
        CHECK(io_name, offsetof(struct bproc_io_t, d.file.name) == 24);
        CHECK(process, sizeof(struct bproc_proc_info_t) == 8);
        CHECK(version, sizeof(struct bproc_version_t) == 32);
        CHECK(version_text, offsetof(struct bproc_version_t, version_string) == 8);
        CHECK(api, BPROC_API_VERSION == 4);
        CHECK(master, BPROC_NODE_MASTER == -1 && BPROC_NODE_SELF == -2);
        CHECK(none, BPROC_NODE_NONE == -3 && BPROC_NODE_ANY == -4);
        CHECK(errors, BE_INVALIDNODE == 300 && BE_NODEDOWN == 301 && BE_SAMENODE == 302);
        CHECK(more_errors, BE_SLAVEDIED == 303 && BE_INVALIDPROC == 304);
        CHECK(dump, BPROC_DUMP_ALL == (BPROC_DUMP_LIBS | BPROC_DUMP_EXEC | BPROC_DUMP_OTHER));
        int (*start)(int, int *, int *, struct bproc_io_t *, int, const char *, char *const *,
                     char *const *) = bproc_vexecmove_io;
        int (*plain)(int, int *, int *, const char *, char *const *, char *const *) =
            bproc_vexecmove;
        int main(void) {
            struct bproc_node_set_t set = BPROC_EMPTY_NODESET;
            return set.size + (bproc_strerror(BE_NODEDOWN) == NULL) + (start == NULL)
                   + (plain == NULL);
        }

        """

    @Test(arguments: [("cc", "-std=c99", "c"), ("c++", "-std=c++11", "cc")])
    func headersCompile(compiler: String, standard: String, suffix: String) throws {
        let directory = try temporaryDirectory()
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let file = "\(directory)/program.\(suffix)"
        try Self.source.write(toFile: file, atomically: true, encoding: .utf8)
        let messages = try Toolchain.compile(
            compiler,
            [standard, "-Wall", "-Wextra", "-Werror", "-pedantic", "-Wno-unused-local-typedefs"]
                + Toolchain.includes + ["-fsyntax-only", file])
        #expect(messages == "")
    }

    /// A shared library of the same sources shows its public names and nothing else.
    @Test func sharedLibraryExportsOnlyItsInterface() throws {
        let directory = try temporaryDirectory()
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let folder = "\(Toolchain.root)/Sources/CBProc"
        let sources = try FileManager.default.contentsOfDirectory(atPath: folder)
            .filter { $0.hasSuffix(".c") }.map { "\(folder)/\($0)" }
        let library = "\(directory)/libbproc.so.4"
        let messages = try Toolchain.compile(
            "cc",
            ["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", library]
                + Toolchain.includes + sources)
        #expect(messages == "")
        let listing = "\(directory)/names"
        let command = "nm -D --defined-only \(library) > \(listing)"
        #expect(try Toolchain.compile("sh", ["-c", command]) == "")
        let names = try String(contentsOfFile: listing, encoding: .utf8)
            .split(separator: "\n").compactMap { $0.split(separator: " ").last.map(String.init) }
        #expect(names.contains("bproc_vexecmove_io"))
        #expect(names.contains("bproc_job_next"))
        #expect(names.contains("_bproc_vrfork_io"))
        #expect(names.filter { !$0.hasPrefix("bproc_") && !$0.hasPrefix("_bproc_") } == [])
    }
}
