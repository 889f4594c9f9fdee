import CSystem

public enum Clock {
    /// CLOCK_MONOTONIC in nanoseconds.
    public static var monotonicNanoseconds: UInt64 { bp_monotonic_nanoseconds() }
}
