import CBProc
import CSystem
import Glibc
import ImageSamples
import ProcessImage
import Testing

/// A launch of bytes that a test has made, over libbproc: bpsh would take an image of its own.
struct PackedJob {
    /// "stage: reason" of each rank that failed.
    private(set) var failures: [String] = []
    /// Why the launch as a whole failed, or nothing.
    private(set) var end = ""

    /// The packed image of a program, taken by the cluster's own helper.
    static func capture(on cluster: TestCluster) throws -> PackedBytes {
        setenv("BPROC_SOCKET", cluster.socket, 1)
        var info = bproc_capture_info()
        var arguments: [UnsafeMutablePointer<CChar>?] = [strdup("bash"), nil]
        defer { free(arguments[0]) }
        let file = bproc_capture(
            "/bin/bash", &arguments, nil, BPROC_CAPTURE_AT_ENTRY | BPROC_CAPTURE_PACKED, &info)
        try #require(file >= 0, "\(String(cString: bproc_reason()))")
        defer { close(file) }
        let byteCount = Int(lseek(file, 0, SEEK_END))
        try #require(byteCount > 0 && byteCount < Int(info.image_bytes))
        var bytes = [UInt8](repeating: 0, count: byteCount)
        try #require(pread(file, &bytes, bytes.count, 0) == bytes.count)
        return PackedBytes(bytes)
    }

    static func unpack(_ packed: PackedBytes) throws -> [UInt8] {
        let span = packed.bytes.span.bytes
        let header = try packed.parse()
        var image = [UInt8](repeating: 0, count: header.unpackedByteCount)
        for segment in 0..<header.segmentCount {
            var whole = image.mutableSpan
            var raw = whole.mutableBytes
            var target = raw._mutatingExtracting(header.imageRange(ofSegment: segment))
            try header.unpack(
                segment: segment, from: span.extracting(header.fileRange(ofSegment: segment)),
                into: &target)
        }
        return image
    }

    /// Launches and waits until every rank has an answer.
    init(_ packed: PackedBytes, on cluster: TestCluster, nodes: [Int32]) throws {
        setenv("BPROC_SOCKET", cluster.socket, 1)
        let file = Int32(bp_memfd("packed", 1))
        try #require(file >= 0)
        defer { close(file) }
        try #require(write(file, packed.bytes, packed.bytes.count) == packed.bytes.count)
        try #require(bp_seal(file) == 0)
        var job: OpaquePointer?
        let launched = nodes.withUnsafeBufferPointer { nodes in
            "packed".withCString { command in
                var request = bproc_job_request()
                request.struct_bytes = MemoryLayout<bproc_job_request>.size
                request.image = file
                request.rank_count = Int32(nodes.count)
                request.nodes = nodes.baseAddress
                request.command = command
                return bproc_job_launch(&request, &job)
            }
        }
        try #require(launched == 0, "\(String(cString: bproc_reason()))")
        defer { bproc_job_close(job) }
        try follow(job)
    }

    private mutating func follow(_ job: OpaquePointer?) throws {
        var event = bproc_job_event()
        while true {
            let result = bproc_job_next(job, &event)
            try #require(result >= 0)
            if result == 0 {
                var entry = pollfd(
                    fd: bproc_job_descriptor(job), events: bproc_job_poll_events(job), revents: 0)
                try #require(poll(&entry, 1, Int32(TestCluster.patience * 1000)) == 1, "it hangs")
                continue
            }
            let text = event.text.map { String(cString: $0) } ?? ""
            switch UInt32(event.kind) {
            case BPROC_EVENT_FAILURE.rawValue:
                failures.append("\(String(cString: bproc_stage_name(event.stage))): \(text)")
            case BPROC_EVENT_END.rawValue:
                end = text
                return
            default: break
            }
        }
    }
}
