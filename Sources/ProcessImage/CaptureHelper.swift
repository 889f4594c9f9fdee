public import CLocalProtocol
import CSystem
import System

/// The role `--helper=capture --socket=N` of the daemon's binary: takes the image of one program,
/// or packs one image, for the library, in the caller's own context, and ends.
///
/// A process of its own, because the program is started as a child of whoever takes the image, with
/// its directory, limits and terminal, and because a killed helper takes the stopped program with
/// it.
public enum CaptureHelper {
    /// Whether an image of so many bytes, of which packing leaves `ratio`, is worth packing for a
    /// network.
    public typealias PackingAdvice = (
        _ network: bproc_local_network, _ imageByteCount: Int, _ ratio: Double
    ) -> Bool

    /// Reads one BPROC_LOCAL_CAPTURE or BPROC_LOCAL_PACK message, answers BPROC_LOCAL_CAPTURED with
    /// the descriptor of the image or of the packed image. Answers the exit status: 0 if an answer
    /// was sent (a failure to capture is an answer too).
    public static func run(
        socket: Int32, packingPays: PackingAdvice = { _, _, _ in false }
    ) -> Int32 {
        _ = bp_capture_close_on_exec(socket)
        guard let request = Request(socket: socket) else { return 1 }
        let answer: Answer
        do {
            let isGiven = request.hasImage
            let image = try request.takeImage()
            var body = bproc_local_captured()
            body.image_bytes = UInt64(image.byteCount)
            body.capture_nanoseconds = image.nanoseconds
            if let packed = try pack(image, request.question.packing, packingPays) {
                body.packed_bytes = UInt64(packed.byteCount)
                body.capture_nanoseconds += packed.nanoseconds
                answer = Answer(request: request.number, body: body)
                return answer.send(to: socket, descriptor: packed.descriptor.number) ? 0 : 1
            }
            answer = Answer(request: request.number, body: body)
            // Who has brought the image has it.
            let descriptor = isGiven ? -1 : image.descriptor.number
            return answer.send(to: socket, descriptor: descriptor) ? 0 : 1
        } catch {
            answer = Answer(request: request.number, error: error)
            return answer.send(to: socket, descriptor: -1) ? 0 : 1
        }
    }

    /// The packed form of an image, where it was asked for or pays; nil: it travels as it is.
    private static func pack(
        _ image: borrowing CapturedImage, _ packing: bproc_local_packing,
        _ packingPays: PackingAdvice
    ) throws(CaptureError) -> ImagePacker.Packed? {
        let count = image.byteCount
        let compression = bproc_local_compression(rawValue: packing.compression)
        switch compression {
        case BPROC_LOCAL_COMPRESSION_ALWAYS: break
        case BPROC_LOCAL_COMPRESSION_AUTO:
            // Most networks are decided before the image is looked at: none shrinks to nothing.
            guard UInt64(count) <= PackedHeader.unpackedByteLimit,
                packingPays(packing.network, count, 0)
            else { return nil }
        default: return nil
        }
        let mapping: OwnedMapping
        do {
            mapping = try OwnedMapping(
                of: image.descriptor.number, byteCount: count, isWritable: false)
        } catch {
            throw .system(error)
        }
        // The mapping lives to the end of this scope, and the file is sealed.
        let bytes = unsafe RawSpan(_unsafeBytes: UnsafeRawBufferPointer(mapping.bytes))
        if compression == BPROC_LOCAL_COMPRESSION_AUTO {
            let ratio = CompressionSample.ratio(of: bytes)
            guard packingPays(packing.network, count, ratio) else { return nil }
        }
        let packed = try ImagePacker.pack(bytes)
        _ = mapping.byteCount
        // A sample can be wrong; now the ratio is known.
        if compression == BPROC_LOCAL_COMPRESSION_AUTO,
            !packingPays(packing.network, count, Double(packed.byteCount) / Double(count))
        {
            return nil
        }
        return packed
    }

    private enum Question {
        case program(ProgramQuestion)
        case packing(bproc_local_packing)

        var packing: bproc_local_packing {
            switch self {
            case .program(let program): program.packing
            case .packing(let packing): packing
            }
        }
    }

    /// The library's question, read and checked.
    private struct Request {
        let number: UInt32
        let question: Question
        /// The descriptor that came with it, -1: none. This process has no other use for it.
        private let attached: Int32

        /// The image is the caller's own, to be packed.
        var hasImage: Bool { attached >= 0 }

        init?(socket: Int32) {
            var header = bproc_local_header()
            let headerSize = MemoryLayout<bproc_local_header>.size
            var descriptor: Int32 = -1
            let count = unsafe bp_capture_receive_first(socket, &header, headerSize, &descriptor)
            attached = descriptor
            guard count == headerSize, header.magic == BPROC_LOCAL_MAGIC,
                header.version == UInt16(BPROC_LOCAL_VERSION),
                header.body_bytes <= BPROC_LOCAL_BODY_MAX
            else { return nil }
            var body = [UInt8](repeating: 0, count: Int(header.body_bytes))
            guard unsafe bp_capture_receive(socket, &body, body.count) == body.count else {
                return nil
            }
            number = header.request
            switch UInt32(header.kind) {
            case BPROC_LOCAL_CAPTURE.rawValue:
                guard let program = ProgramQuestion(body) else { return nil }
                question = .program(program)
            case BPROC_LOCAL_PACK.rawValue:
                guard body.count == MemoryLayout<bproc_local_packing>.size, attached >= 0
                else { return nil }
                question = .packing(
                    unsafe body.span.bytes.unsafeLoadUnaligned(as: bproc_local_packing.self))
            default: return nil
            }
        }

        /// The image that the question is about.
        func takeImage() throws(CaptureError) -> CapturedImage {
            switch question {
            case .program(let program):
                return try ProgramCapture.image(
                    command: program.command, arguments: program.arguments,
                    environment: program.environment, at: program.point)
            case .packing:
                // The caller's limits are meant for the caller, not for the file of its image.
                bp_raise_limits()
                return try CapturedImage(taken: OwnedDescriptor(adopting: attached))
            }
        }
    }

    /// Which program, with what arguments, stopped where.
    private struct ProgramQuestion {
        let command: String
        let arguments: [[UInt8]]
        let environment: [[UInt8]]
        let point: CapturePoint
        let packing: bproc_local_packing

        init?(_ body: [UInt8]) {
            let fixedSize = MemoryLayout<bproc_local_capture>.size
            guard body.count >= fixedSize else { return nil }
            let fixed = unsafe body.span.bytes.unsafeLoadUnaligned(as: bproc_local_capture.self)
            // Each is at most 32 bits wide: the sum does not overflow.
            let lengths = [fixed.command_bytes, fixed.argument_bytes, fixed.environment_bytes]
            guard lengths.reduce(0, { $0 + Int($1) }) == body.count - fixedSize else { return nil }
            var rest = body[fixedSize...]
            command = String(decoding: rest.prefix(Int(fixed.command_bytes)), as: UTF8.self)
            rest = rest.dropFirst(Int(fixed.command_bytes))
            let argumentBytes = rest.prefix(Int(fixed.argument_bytes))
            let environmentBytes = rest.dropFirst(Int(fixed.argument_bytes))
            guard
                let arguments = Self.strings(argumentBytes, count: fixed.argument_count),
                let environment = Self.strings(environmentBytes, count: fixed.environment_count)
            else { return nil }
            self.arguments = arguments
            self.environment = environment
            packing = fixed.packing
            point = fixed.point == UInt32(BPROC_LOCAL_CAPTURE_AT_EXEC.rawValue) ? .exec : .entry
        }

        /// NUL-terminated strings, exactly as many as announced.
        private static func strings(_ bytes: ArraySlice<UInt8>, count: UInt32) -> [[UInt8]]? {
            guard bytes.isEmpty || bytes.last == 0 else { return nil }
            let strings = bytes.dropLast().split(separator: 0, omittingEmptySubsequences: false)
            let found = bytes.isEmpty ? [] : strings.map { Array($0) }
            return found.count == Int(count) ? found : nil
        }
    }

    private struct Answer {
        var header = bproc_local_header()
        var body: bproc_local_captured

        init(request: UInt32, body: bproc_local_captured) {
            header.magic = BPROC_LOCAL_MAGIC
            header.version = UInt16(BPROC_LOCAL_VERSION)
            header.kind = UInt16(BPROC_LOCAL_CAPTURED.rawValue)
            header.body_bytes = UInt32(MemoryLayout<bproc_local_captured>.size)
            header.request = request
            self.body = body
        }

        init(request: UInt32, error: CaptureError) {
            var body = bproc_local_captured()
            body.error = error.errorNumber
            body.stage = UInt32(BPROC_LOCAL_STAGE_NONE.rawValue)
            unsafe withUnsafeMutableBytes(of: &body.reason) { reason in
                for (index, byte) in error.description.utf8.prefix(reason.count - 1).enumerated() {
                    unsafe reason[index] = byte
                }
            }
            self.init(request: request, body: body)
        }

        func send(to socket: Int32, descriptor: Int32) -> Bool {
            // One write for both: the descriptor travels with the first byte.
            var message = (header, body)
            let size =
                MemoryLayout<bproc_local_header>.size + MemoryLayout<bproc_local_captured>.size
            return unsafe withUnsafeMutableBytes(of: &message) { bytes in
                guard let base = bytes.baseAddress, bytes.count >= size else { return false }
                return unsafe bp_capture_send(socket, base, size, descriptor) == size
            }
        }
    }
}
