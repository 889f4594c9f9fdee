/// What the capture uses of the kernel where it is there, and does without where it is not. Each
/// can be forbidden, so that the other way is seen to work.
public struct CaptureMeans: Sendable, Equatable {
    /// The entry breakpoint is a debug register; without, an int3 in the program's code.
    public var usesDebugRegisters = true
    /// Touched pages are asked for by PAGEMAP_SCAN (Linux 6.7); without, read from the page map.
    public var usesPageScan = true

    public init() {}
}
